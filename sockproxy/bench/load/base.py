"""What all load tools have in common: a server, a client, and the figures it prints."""

from __future__ import annotations

import contextlib
import signal
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from sockproxy.bench.process import Place, Server, run
from sockproxy.bench.workplace import find_program
from sockproxy.errors import SockproxyError

__all__ = ["TOLD", "Host", "Load", "Outcome", "Target", "Test", "Tool", "no_figures", "same_bytes"]

TOLD = 300  # characters of a tool's output, in an error
GRACE = 2.0  # seconds that what a server started has to end


class Load(Protocol):
    """What a tool needs to know of a case."""

    @property
    def test(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def connections(self) -> int: ...
    @property
    def seconds(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Test:
    """One test of a tool. size: of a message, unless the scenario says another.

    sized, many: whether a scenario may choose the size, and more than one connection.
    headline: the figure that matters most, by its key in metrics.METRICS.
    counted: runs for a number of transactions, not for a time.
    """

    size: int
    headline: str
    counted: bool = False
    sized: bool = True
    many: bool = True


@dataclass(frozen=True, slots=True)
class Target:
    """Where a client connects to. folder: of the server's files. path: of AF_UNIX, if that."""

    address: str
    folder: Path
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a client said.

    values: figures, by the keys of metrics.METRICS; "gbit_per_s" or "per_s" among them.
    payload: bytes that crossed the measured connections, both ways.
    transactions: how many; 0 for a stream. checks: what was compared, and held.
    """

    values: dict[str, float]
    payload: int
    transactions: int = 0
    checks: tuple[str, ...] = ()
    raw: Any = None


class Host:
    """The server's side: where its processes start, and a folder for their files.

    base: where that folder is made; it belongs to whoever made it.
    """

    def __init__(self, place: Place, address: str, base: Path) -> None:
        self.place, self.address = place, address
        self._base = base
        self._undo = contextlib.ExitStack()
        self._servers: list[Server] = []
        self._make_folder()

    def _make_folder(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=self._base))
        self.folder.chmod(0o755)

    def start(
        self,
        argv: Sequence[str],
        *,
        ports: Sequence[int] = (),
        ready: Callable[[], bool] | None = None,
        end_signal: int = signal.SIGTERM,
    ) -> Server:
        """A server, once it listens on its ports and is ready. Ends with close()."""
        server = Server(self.place, argv, folder=self.folder, end_signal=end_signal)
        self._undo.callback(server.close)
        server.wait_for(lambda: all(server.listens(port) for port in ports))
        if ready is not None:
            server.wait_for(ready)
        self._servers.append(server)
        return server

    def run(self, argv: Sequence[str], timeout: float = 60.0) -> str:
        """A program beside the server, to its end; what it printed."""
        return run(self.place, argv, timeout)

    def check(self) -> None:
        """Raise SockproxyError when one of the servers has ended."""
        for server in self._servers:
            server.check()

    def clear(self) -> None:
        """As it was in the beginning: no server, and an empty folder."""
        self.close()
        self._make_folder()

    def close(self) -> None:
        """End all, the last first, and what they started."""
        self._servers.clear()
        self._undo.close()
        self.place.cgroup.end_all(GRACE)


def no_figures(program: str, output: str) -> SockproxyError:
    """What to raise for output that has no figures, or that is cut off."""
    words = " ".join(output.split())[:TOLD]
    return SockproxyError(f"{program} gave no figures: {words or 'nothing'}")


def same_bytes(sent: int, received: int) -> tuple[str, ...]:
    """The check that every byte which was sent was received too, where that holds."""
    return ("as many bytes received as sent",) if sent == received else ()


class Tool(ABC):
    """One program that makes load. There is one object of each, without state."""

    name: ClassVar[str]
    title: ClassVar[str]
    programs: ClassVar[tuple[str, ...]]
    """All that must be on the PATH."""
    install: ClassVar[str]
    """How to get them."""
    versions: ClassVar[Mapping[str, Sequence[str]]]
    """What prints the version of each."""
    tests: ClassVar[Mapping[str, Test]]
    port: ClassVar[int]
    """Of the connections that are measured: those that a proxy is put into."""
    unix = False
    """Whether it can use AF_UNIX instead."""

    def missing(self) -> list[str]:
        """The programs that are not there."""
        return [name for name in self.programs if find_program(name) is None]

    @abstractmethod
    def serve(self, load: Load, host: Host) -> None:
        """Start the server on `host`, listening on its address, and at unix_path()."""

    def unix_path(self, host: Host) -> Path:
        """Its AF_UNIX socket, for tools that have one."""
        return host.folder / "unix"

    @abstractmethod
    def command(self, load: Load, target: Target, amount: int) -> list[str]:
        """The client's command line. amount: seconds, or transactions of a counted test."""

    @abstractmethod
    def read(self, load: Load, output: str, amount: int) -> Outcome:
        """Its figures, of a run of this amount.

        Raises SockproxyError for output that has none, or that tells of errors.
        """

    def warm_up(self, load: Load) -> int:
        """The amount of the run that finds out how long a counted test takes."""
        return 500 if self.tests[load.test].counted else load.seconds

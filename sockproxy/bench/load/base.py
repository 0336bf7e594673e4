"""What all load generators have in common: a server, a client, and the figures it prints."""

from __future__ import annotations

import contextlib
import signal
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sockproxy.bench.process import Place, Server, run
from sockproxy.bench.result.metrics import Metric
from sockproxy.bench.workplace import find_program
from sockproxy.errors import SockproxyError
from sockproxy.text import clean

__all__ = ["TOLD", "Host", "Load", "Outcome", "Target", "Test", "Tool", "no_figures", "same_bytes"]

TOLD = 300  # characters of a tool's output that an error shows
GRACE = 2.0  # seconds that what a server started has to end


class Load(Protocol):
    """What a tool needs to know of a case. size: bytes of a message. seconds: of one run."""

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
    """One test of a tool. size: of a message, unless the scenario says another; 0: not known.

    sized, many: whether a scenario may choose the size, and more than one connection.
    headline: the figure that matters most, by its key in metrics.METRICS or in Tool.metrics.
    counted: runs for a number of transactions, not for a time. connections: unless the scenario
    says another number; 0: not known.
    """

    size: int
    headline: str
    counted: bool = False
    sized: bool = True
    many: bool = True
    connections: int = 1


@dataclass(frozen=True, slots=True)
class Target:
    """Where a client connects to. folder: of the server's files. path: of AF_UNIX, if that."""

    address: str
    folder: Path
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a client found in one run.

    values: figures, by the keys of metrics; the test's headline among them.
    payload: bytes that crossed the measured connections, both ways; 0 where that is not known.
    transactions: how many; 0 for a stream. checks: sentences on what was compared, and agreed.
    raw: what the tool printed, parsed where it can be. each_second: the headline of each whole
    second, for tools that tell.
    """

    values: dict[str, float]
    payload: int
    transactions: int = 0
    checks: tuple[str, ...] = ()
    raw: Any = None
    each_second: tuple[float, ...] = ()


class Host:
    """The server's side: where its processes start, and a folder for their files.

    base: the folder in which that folder is made; the caller removes it.
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
        folder: Path | None = None,
    ) -> Server:
        """Start a server, and wait until it listens on these ports and `ready` says so.

        folder: where it starts, if not in the folder for its files. close() ends it. Raises
        SockproxyError when it ends before, or takes too long.
        """
        server = Server(self.place, argv, folder=folder or self.folder, end_signal=end_signal)
        self._undo.callback(server.close)
        for port in ports:
            server.wait_until_listening(port)
        if ready is not None:
            server.wait_for(ready)
        self._servers.append(server)
        return server

    def run(self, argv: Sequence[str], timeout: float = 60.0) -> str:
        """Run a program beside the server to its end; what it printed."""
        return run(self.place, argv, timeout)

    def check(self) -> None:
        """Raise SockproxyError when one of the servers has ended."""
        for server in self._servers:
            server.check()

    def clear(self) -> None:
        """End all servers, and give the next ones an empty folder."""
        self.close()
        self._make_folder()

    def close(self) -> None:
        """End all servers, the last first, and every process that they have started."""
        self._servers.clear()
        self._undo.close()
        self.place.cgroup.end_all(GRACE)


def no_figures(program: str, output: str) -> SockproxyError:
    """The error for output of a tool that has no figures, or that is cut off."""
    words = clean(" ".join(output.split()))[:TOLD]
    return SockproxyError(f"{program} gave no figures: {words or 'nothing'}")


def same_bytes(sent: int, received: int) -> tuple[str, ...]:
    """For Outcome.checks: that every byte sent was received, if the two numbers are equal."""
    return ("as many bytes received as sent",) if sent == received else ()


class Tool(ABC):
    """One program that makes load. Objects have no state: TOOLS has one of each kind that comes
    with sockproxy, and commands.py makes others."""

    name: str
    title: str
    programs: tuple[str, ...]
    """The programs that must be on the PATH."""
    install: str
    """How to install those programs."""
    versions: Mapping[str, Sequence[str]]
    """By name, the command line that prints a program's version."""
    tests: Mapping[str, Test]
    port: int
    """The server's port to which the measured connections go; a proxy is put in their way."""
    unix = False
    """Whether it can use AF_UNIX instead of TCP."""
    untried = False
    """Whether nobody knows that it works at all. Then plain TCP, where nothing is in between, has
    the first run, and when that fails nothing else is tried."""
    metrics: Mapping[str, Metric] = {}
    """By key, those of its figures that METRICS does not have."""

    def missing(self) -> list[str]:
        """Those of the programs that are not installed."""
        return [name for name in self.programs if find_program(name) is None]

    @abstractmethod
    def serve(self, load: Load, host: Host) -> None:
        """Start the server on `host`, listening on its address, and at unix_path()."""

    def unix_path(self, host: Host) -> Path:
        """The path of the server's AF_UNIX socket, for tools that have one."""
        return host.folder / "unix"

    @abstractmethod
    def command(self, load: Load, target: Target, amount: int) -> list[str]:
        """The client's command line. amount: seconds, or transactions of a counted test."""

    @abstractmethod
    def read(self, load: Load, output: str, amount: int) -> Outcome:
        """The figures that the client has printed, of a run of this amount.

        Raises SockproxyError for output that has none, or that tells of errors.
        """

    def warm_up(self, load: Load) -> int:
        """The amount of the run that finds out how long a counted test takes."""
        return 500 if self.tests[load.test].counted else load.seconds

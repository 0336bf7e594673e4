"""Servers and clients of a run: where they start, and how they end."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sockproxy.bench.workplace import find_program
from sockproxy.cgroup import Cgroup, current
from sockproxy.errors import SockproxyError
from sockproxy.net.listening import listeners
from sockproxy.net.namespace import Namespace
from sockproxy.syscalls import end_with_parent
from sockproxy.text import clean
from sockproxy.units import format_size

__all__ = ["Place", "Server", "run", "run_client"]

PATIENCE = 15.0  # seconds for a server to listen
GRACE = 2.0  # seconds for one to end
MOST_WRITTEN = 64 << 20  # bytes of each file that a limited process writes: logs, output
TAIL = 400  # characters of what a program said that are shown
MOST_OUTPUT = 16 << 20  # bytes of what a client may print


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process runs. cpus: those it may use; all, when empty.

    group: its group id, by which the REDIRECT knows a proxy; 0 for ours. limited: whether each
    file that it writes may have MOST_WRITTEN bytes at most.
    """

    namespace: Namespace
    cgroup: Cgroup
    cpus: frozenset[int] = frozenset()
    group: int = 0
    limited: bool = True

    def spawn(
        self,
        argv: Sequence[str],
        *,
        stdout: int,
        stderr: int,
        orphaned: int,
        folder: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program in this place. When this process is killed, the kernel sends it the
        signal `orphaned`. Raises SockproxyError when the program is not installed."""
        program = find_program(argv[0])
        if program is None:
            raise SockproxyError(f"find {argv[0]}")

        parent = os.getpid()

        def enter() -> None:  # in the child, before it becomes the program
            self.cgroup.enter()
            if self.cpus:
                os.sched_setaffinity(0, self.cpus)
            if self.limited:
                resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_WRITTEN, MOST_WRITTEN))
            end_with_parent(orphaned)
            if os.getppid() != parent:  # it died before we asked to be told
                os._exit(1)

        with self.namespace.entered():
            return subprocess.Popen(
                [program, *argv[1:]],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=folder,
                group=self.group or None,
                start_new_session=True,  # Ctrl-C is for this process, which ends it in order
                preexec_fn=enter,
            )


class Server:
    """A server that this process has started. end_signal: the signal that makes it end at once."""

    def __init__(
        self,
        place: Place,
        argv: Sequence[str],
        *,
        folder: Path | None = None,
        end_signal: int = signal.SIGTERM,
    ) -> None:
        self.program = Path(argv[0]).name
        self._end_signal = end_signal
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (close() does)
        try:
            log = self._log.fileno()
            self._process = place.spawn(
                argv, stdout=log, stderr=log, orphaned=end_signal, folder=folder
            )
        except BaseException:
            self._log.close()
            raise

    def check(self) -> None:
        """Raise SockproxyError, with the end of the server's log, when the server has ended."""
        code = self._process.poll()
        if code is not None:
            raise SockproxyError(
                f"{self.program} ended: {_exit(code)}: {self.said()}",
                hint="have it stay in the foreground" if code == 0 else None,
            )

    def said(self) -> str:
        """The end of the server's log, on one line."""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - TAIL))
        return _one_line(self._log.read().decode(errors="replace")) or "its log is empty"

    def listens(self, port: int) -> bool:
        """Whether something in its namespace listens on the port; asked without connecting."""
        return any(port == each for each, _ in listeners(self._process.pid))

    def wait_until_listening(self, port: int) -> None:
        """Return when it listens on the port. Raises SockproxyError as wait_for() does."""
        trouble = f"does not listen on port {port} after {PATIENCE:g} s"
        self.wait_for(lambda: self.listens(port), trouble)

    def wait_for(self, ready: Callable[[], bool], trouble: str = "is not ready") -> None:
        """Return when it is ready. Raises SockproxyError when it ends, or takes too long; `trouble`
        says then what it has not done."""
        deadline = time.monotonic() + PATIENCE
        while True:
            self.check()
            try:
                if ready():
                    return
            except OSError:
                pass  # it ends just now: the next check tells how
            if time.monotonic() > deadline:
                raise SockproxyError(f"{self.program} {trouble}: {self.said()}")
            time.sleep(0.02)

    @property
    def cgroup(self) -> Cgroup:
        """The server's cgroup as it is now: sockproxy's own proxy enters one that it makes."""
        return current(self._process.pid)

    def close(self) -> None:
        """End the server: by its end_signal, and after GRACE seconds by SIGKILL."""
        self._process.send_signal(self._end_signal)
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


def run(place: Place, argv: Sequence[str], timeout: float) -> str:
    """Run a program to its end; what it printed on stdout.

    Raises SockproxyError when it fails, or takes longer than `timeout` seconds.
    """
    program = Path(argv[0]).name
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = place.spawn(
            argv, stdout=output.fileno(), stderr=errors.fileno(), orphaned=signal.SIGKILL
        )
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise SockproxyError(f"{program}: no end after {timeout:g} s") from None
        finally:
            process.kill()
            process.wait()
        said = []
        for stream in (output, errors):
            stream.seek(0)
            said.append(stream.read(MOST_OUTPUT).decode(errors="replace"))
        # A shell says of its child that a signal ended it by 128 and the signal's number.
        if code in (-signal.SIGXFSZ, 128 + signal.SIGXFSZ):
            raise SockproxyError(f"{program}: it wrote more than {format_size(MOST_WRITTEN)}")
        if code != 0:
            words = _one_line(said[1].strip() or said[0])[-TAIL:]
            raise SockproxyError(f"{program}: {_exit(code)}: {words or 'it printed nothing'}")
        if output.read(1):
            raise SockproxyError(f"{program}: it printed more than {format_size(MOST_OUTPUT)}")
        return said[0]


def run_client(place: Place, argv: Sequence[str], timeout: float) -> str:
    """As run(); ends every other process in the place's cgroup after that, which the client may
    have started."""
    try:
        return run(place, argv, timeout)
    finally:
        place.cgroup.end_all(0.0)


def _one_line(text: str) -> str:
    return clean(" ".join(text.split()))


def _exit(code: int) -> str:
    if code >= 0:
        return f"exit {code}"
    with contextlib.suppress(ValueError):  # real-time signals have no name
        return signal.Signals(-code).name
    return f"signal {-code}"

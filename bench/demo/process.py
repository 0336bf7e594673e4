"""Servers and clients: started in a namespace, placed on CPUs, ended by their pid."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from bench.demo.network import Namespace
from sockproxy.errors import SockproxyError

__all__ = ["ROOT", "Server", "run_client", "serving"]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 10.0  # seconds for a server to listen, and then to end
TCP_LISTEN = "0A"


class Server:
    """A running server of ours."""

    def __init__(self, argv: Sequence[str], process: subprocess.Popen[bytes], log: IO[bytes]):
        self.argv = tuple(argv)
        self.process = process
        self._log = log

    def pin(self, cpu: int) -> None:
        """Run all its threads, and the children it makes from now on, on this CPU."""
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            os.sched_setaffinity(int(thread), {cpu})

    def check(self) -> None:
        """Raise SockproxyError, with the end of its log, when it has ended."""
        if self.process.poll() is not None:
            raise SockproxyError(f"{self.argv[0]} ended ({self.process.returncode}): {self.said()}")

    def said(self) -> str:
        """The last lines it wrote."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return " | ".join(lines[-3:]) or "it said nothing"

    def listens(self, port: int) -> bool:
        """Whether something in its namespace listens on the port; asked without connecting."""
        for name in ("tcp", "tcp6"):
            for line in Path(f"/proc/{self.process.pid}/net/{name}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == TCP_LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    return True
        return False

    def wait_until_ready(self, ports: Sequence[int]) -> None:
        """Return when it listens on all these ports."""
        deadline = time.monotonic() + PATIENCE
        while True:
            self.check()
            if all(self.listens(port) for port in ports):
                return
            if time.monotonic() > deadline:
                raise SockproxyError(f"{self.argv[0]} does not listen: {self.said()}")
            time.sleep(0.02)

    def end(self) -> None:
        """SIGTERM, and SIGKILL when that does not help in time."""
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def serving(
    argv: Sequence[str],
    namespace: Namespace,
    ports: Sequence[int],
    *,
    group: int = 0,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """A server in the namespace, once it listens on its ports. Ended on the way out."""
    with contextlib.ExitStack() as undo:
        log = undo.enter_context(tempfile.TemporaryFile())
        with namespace.entered():
            process = subprocess.Popen(
                # Should we be killed, the kernel ends it.
                ["setpriv", "--pdeathsig", "TERM", "--", *argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
                group=group,
                start_new_session=True,  # Ctrl-C is for us, who end it in order
            )
        server = Server(argv, process, log)
        undo.callback(server.end)
        server.wait_until_ready(ports)
        yield server


def run_client(argv: Sequence[str], namespace: Namespace, cpu: int, timeout: float) -> str:
    """Run a client on one CPU to its end; what it printed.

    Raises SockproxyError when it fails or takes longer than `timeout` seconds.
    """
    ours = os.sched_getaffinity(0)
    with namespace.entered():
        os.sched_setaffinity(0, {cpu})
        try:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        finally:
            os.sched_setaffinity(0, ours)
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise SockproxyError(f"{' '.join(argv)}: no end after {timeout:g} s") from None
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    if process.returncode != 0:
        said = " ".join((errors or output).split())[-500:]
        raise SockproxyError(f"{' '.join(argv)}: exit {process.returncode}: {said}")
    return output

"""Programs that run beside each other during the tour, and end with it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tools.tour.place import CGROUPS

__all__ = ["eventually", "in_group", "listens", "running"]

PATIENCE = 30.0  # seconds
GRACE = 5.0  # seconds for one to end
# A shell enters the cgroup, and becomes the program.
ENTER = 'echo $$ >"$0/cgroup.procs"; exec "$@"'


def in_group(name: str, *command: str) -> list[str]:
    """The command, to run in that cgroup."""
    return ["sh", "-c", ENTER, str(CGROUPS / name), *command]


@contextlib.contextmanager
def running(command: list[str], log: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Have a program run in the background. log: of what it writes, which is thrown away else."""
    with contextlib.ExitStack() as files:
        output = files.enter_context(log.open("wb")) if log else subprocess.DEVNULL
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def eventually(look: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Wait until it is true. Ends this program where it never is."""
    end = time.monotonic() + patience
    while not look():
        if time.monotonic() > end:
            raise SystemExit(f"tour: in vain after {patience:.0f} s: {what}")
        time.sleep(0.1)


def listens(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until it does, at this port of loopback."""

    def answers() -> bool:
        if process.poll() is not None:
            said = log.read_text(errors="replace").strip().splitlines() or ["nothing"]
            raise SystemExit(f"tour: {log.stem} ended, and said: {said[-1]}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    eventually(answers, f"{log.stem} does not listen at port {port}")

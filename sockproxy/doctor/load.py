"""Whether the machine was too busy for a time limit to mean anything."""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["Load"]

SPARE = 0.25  # of all CPUs' time: with so much unused, every process that wants to run may
SHORT = 0.2  # seconds in which no process waits for long, and ticks are too few to count
WAITED = 0.25  # of a process's time: with so much spent runnable and not running, it was kept off
IDLE = slice(3, 5)  # in /proc/stat's first line: idle, and waiting for a disk
ALL = slice(0, 8)  # user to steal; what follows is counted in these
TICK = os.sysconf("SC_CLK_TCK")


class Load:
    """How busy the machine has been since this was made."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._before = _cpu_times()

    def was_busy(self, pid: int) -> bool:
        """Whether others may be why the process `pid`, which began no earlier, was not done.

        True as well where that cannot be told; but never of what took hardly any time.
        """
        if time.monotonic() - self._began < SHORT:
            return False
        try:
            now = _cpu_times()
            passed = [late - early for early, late in zip(self._before, now, strict=True)]
            spare = sum(passed[IDLE]) + _own_time(pid)
            if spare < SPARE * sum(passed):
                return True
            return _waited(pid) > WAITED * (time.monotonic() - self._began)
        except (OSError, ValueError, IndexError):
            return True


def _cpu_times() -> list[int]:
    """Of all CPUs together, in ticks; empty where the kernel does not tell."""
    try:
        words = Path("/proc/stat").read_text().split(maxsplit=11)
    except OSError:
        return []
    return [int(each) for each in words[1:11]][ALL]


def _own_time(pid: int) -> int:
    """Ticks that a process ran: counted as spare, as one that spins takes no other's time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _waited(pid: int) -> float:
    """Seconds for which it could have run, and did not; 0 where the kernel does not count."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except FileNotFoundError:
        return 0.0

"""CPU time: of each part by its cgroup, and of the kernel threads that worked for them.

Softirqs count to whom they interrupt, as the kernel has it; what they leave to ksoftirqd or to
a workqueue counts to kernel threads, and so does everything else that these do meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from sockproxy.bench.machine import busy_seconds
from sockproxy.cgroup import Cgroup

__all__ = ["Meter"]

KTHREADD = 2


class Meter:
    """Measures from one call of start() to the next of stop()."""

    def __init__(self, groups: Mapping[str, Cgroup]) -> None:
        self._groups = groups

    def start(self, more: Mapping[str, Sequence[Cgroup]]) -> None:
        """Remember where all clocks stand. more: groups that count to a part as well."""
        self._more = more
        self._threads = _kernel_threads()
        self._used = self._usage()
        self._busy = busy_seconds()

    def stop(self) -> dict[str, float]:
        """CPU seconds since start(): one entry a group, `kernel_threads` and `foreign`.

        foreign: what the whole machine did besides; its resolution is a clock tick.
        """
        busy = busy_seconds() - self._busy
        spent = {part: now - self._used[part] for part, now in self._usage().items()}
        before = self._threads
        threads = {pid: now - before.get(pid, 0.0) for pid, now in _kernel_threads().items()}
        spent["kernel_threads"] = sum(each for each in threads.values() if each > 0)
        spent["foreign"] = max(0.0, busy - sum(spent.values()))
        return spent

    def _usage(self) -> dict[str, float]:
        return {
            part: sum(_usage(each) for each in (group, *self._more.get(part, ())))
            for part, group in self._groups.items()
        }


def _usage(group: Cgroup) -> float:
    """Seconds that the processes of the group have used, and those it had."""
    lines = (group.path / "cpu.stat").read_text().splitlines()
    fields = dict(line.split() for line in lines)
    return int(fields["usage_usec"]) / 1e6


def _kernel_threads() -> dict[int, float]:
    """Seconds by pid."""
    found = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdecimal():
            continue
        try:
            fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) != KTHREADD:
                continue
            found[int(entry.name)] = _thread_seconds(entry.path, fields)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _thread_seconds(folder: str, stat: list[str]) -> float:
    try:
        return int(Path(folder, "schedstat").read_text().split()[0]) / 1e9
    except FileNotFoundError:  # a kernel without it: clock ticks
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

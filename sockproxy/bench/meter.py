"""CPU time of each part by its cgroups, and of the kernel threads that worked for them; and how
often the machine switched from thread to thread.

Softirqs count to whom they interrupt; what they leave to ksoftirqd or to a workqueue counts to
kernel threads, and so does everything else that these do meanwhile. A kernel with
CONFIG_IRQ_TIME_ACCOUNTING takes softirqs out of all of these: there they are in `foreign`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from sockproxy.bench.machine import busy_seconds, context_switches
from sockproxy.cgroup import Cgroup

__all__ = ["ALONE", "Meter"]

KTHREADD = 2
ALONE = ("foreign", "softirq")
"""Keys of Meter.read() that are not CPU time of what is under test."""


class Meter:
    """Measures CPU time from the moment that it is made. groups: the cgroups of each part, such
    as "client" or "proxy"."""

    def __init__(self, groups: Mapping[str, Sequence[Cgroup]]) -> None:
        self._groups = groups
        self._threads = _kernel_threads()
        self._used = self._usage()
        self._busy = busy_seconds()
        self._switches = context_switches()

    def switches(self) -> int:
        """Context switches of the whole machine so far, those to and from an idle CPU included."""
        return context_switches() - self._switches

    def read(self) -> dict[str, float]:
        """CPU seconds so far: one entry a part, `kernel_threads`, `foreign` and `softirq`.

        foreign: what the whole machine did besides. softirq: of the whole machine, wherever it
        was counted. The resolution of both is a clock tick.
        """
        busy, softirq = (now - then for now, then in zip(busy_seconds(), self._busy, strict=True))
        spent = {part: now - self._used[part] for part, now in self._usage().items()}
        threads = {pid: now - self._threads.get(pid, 0.0) for pid, now in _kernel_threads().items()}
        spent["kernel_threads"] = sum(each for each in threads.values() if each > 0)
        spent["foreign"] = max(0.0, busy - sum(spent.values()))
        spent["softirq"] = softirq
        return spent

    def _usage(self) -> dict[str, float]:
        return {part: sum(map(_usage, groups)) for part, groups in self._groups.items()}


def _usage(group: Cgroup) -> float:
    """CPU seconds that the processes of a cgroup have used, those that have ended included."""
    lines = (group.path / "cpu.stat").read_text().splitlines()
    fields = dict(line.split() for line in lines)
    return int(fields["usage_usec"]) / 1e6


def _kernel_threads() -> dict[int, float]:
    """CPU seconds of each kernel thread, by pid."""
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

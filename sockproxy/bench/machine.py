"""The machine under test: its CPUs, the CPU time it spends, and what describes it."""

from __future__ import annotations

import os
import platform
import re
import time
from pathlib import Path
from typing import Any

__all__ = [
    "BUSY",
    "busy_seconds",
    "busy_share",
    "choose_cpus",
    "describe",
    "headline",
    "may_have",
]

BUSY = 0.1  # share of all CPUs that may be taken by others before figures become doubtful
# Settings of the kernel, in /proc/sys, that make BPF or a wake-up slower or faster.
KNOBS = (
    "net/core/bpf_jit_enable",
    "net/core/bpf_jit_harden",
    "kernel/bpf_stats_enabled",
    "kernel/unprivileged_bpf_disabled",
    "kernel/perf_event_paranoid",
    "net/core/busy_poll",
)
# Columns of /proc/stat's first line. Left out: idle (3), iowait (4) and steal (7), which is
# other machines' time; guest (8, 9) is part of user.
WORK_COLUMNS = (0, 1, 2, 5, 6)  # user, nice, system, irq, softirq
SOFTIRQ_COLUMN = 6


def busy_seconds() -> tuple[float, float]:
    """CPU time that the whole machine has spent since boot, and softirqs' part of it."""
    first = [int(each) for each in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    tick = os.sysconf("SC_CLK_TCK")
    return sum(first[column] for column in WORK_COLUMNS) / tick, first[SOFTIRQ_COLUMN] / tick


def context_switches() -> int:
    """How often the CPUs of the machine have turned to another thread since boot."""
    lines = Path("/proc/stat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("ctxt "))


def busy_share(seconds: float) -> float:
    """The share of all CPUs that is in use now, 0 to 1, observed for so many seconds."""
    before, _ = busy_seconds()
    time.sleep(seconds)
    now, _ = busy_seconds()
    return (now - before) / seconds / (os.cpu_count() or 1)


def choose_cpus() -> tuple[int, int]:
    """Two CPUs that this process may use, on different cores where there are such; the same one
    twice when there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    first = allowed[0]
    others = [cpu for cpu in allowed if cpu not in _siblings(first)] or allowed[1:] or [first]
    return first, others[0]


def _siblings(cpu: int) -> set[int]:
    """The hardware threads of the CPU's core, itself among them."""
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    found = {cpu}
    text = path.read_text() if path.exists() else ""
    for low, high in re.findall(r"(\d+)(?:-(\d+))?", text):
        found.update(range(int(low), int(high or low) + 1))
    return found


def may_have(control: str) -> bool:
    """Whether every network namespace may have this congestion control."""
    allowed = _knob("net/ipv4/tcp_allowed_congestion_control") or "reno"
    return control in allowed.split()


def describe() -> dict[str, Any]:
    """What a reader needs to judge the figures; names no host and no path."""
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return {
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cpu": model[1] if model else None,
        "cpus": os.cpu_count(),
        "virtual": "hypervisor" in Path("/proc/cpuinfo").read_text(),
        "governor": governor.read_text().strip() if governor.exists() else None,
        "knobs": {name: text for name in KNOBS if (text := _knob(name)) is not None},
    }


def _knob(name: str) -> str | None:
    try:
        return (Path("/proc/sys") / name).read_text().strip()
    except OSError:  # this kernel does not have it, or this process may not read it
        return None


def headline(about: dict[str, Any]) -> str:
    """The machine in one line, from what describe() found."""
    kind = "virtual machine" if about["virtual"] else "no virtual machine"
    cpu = about["cpu"] or about["architecture"]
    return f"Linux {about['kernel']}, {about['cpus']} CPUs ({cpu}), {kind}"

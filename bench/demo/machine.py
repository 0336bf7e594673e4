"""The machine under test: its CPUs, the CPU time it spends, and what describes it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from sockproxy.errors import PermissionDenied, Unsupported

__all__ = [
    "BUSY",
    "busy_seconds",
    "busy_share",
    "check_tools",
    "choose_cpus",
    "describe",
    "headline",
]

REQUIRED = ("iperf3", "netperf", "netserver", "nft", "setpriv")
OPTIONAL = ("haproxy",)
VERSIONS = {
    "iperf3": ("iperf3", "--version"),
    "netperf": ("netperf", "-V"),
    "haproxy": ("haproxy", "-v"),
    "nft": ("nft", "--version"),
}
BUSY = 0.1  # share of all CPUs that may be taken by others before figures become doubtful
# Columns of /proc/stat's first line. Left out: idle (3), iowait (4) and steal (7), which is
# other machines' time; guest (8, 9) is part of user.
WORK_COLUMNS = (0, 1, 2, 5, 6)  # user, nice, system, irq, softirq


def check_tools() -> frozenset[str]:
    """The optional programs that are there. Raises when a required one, or root, is not."""
    missing = [name for name in REQUIRED if shutil.which(name) is None]
    if missing:
        raise Unsupported(
            f"find {', '.join(missing)}", hint="as root, run tools/setup-debian to install them"
        )
    if os.geteuid() != 0:
        raise PermissionDenied("make network namespaces", hint="run the demo as root")
    return frozenset(name for name in OPTIONAL if shutil.which(name))


def busy_seconds() -> float:
    """CPU time that the whole machine has spent since boot: processes, kworkers, softirqs."""
    first = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    return sum(int(first[column]) for column in WORK_COLUMNS) / os.sysconf("SC_CLK_TCK")


def busy_share(seconds: float) -> float:
    """How much of all CPUs is in use now, 0 to 1, observed for so long."""
    before = busy_seconds()
    time.sleep(seconds)
    return (busy_seconds() - before) / seconds / (os.cpu_count() or 1)


def choose_cpus() -> tuple[int, int]:
    """Two CPUs of ours, on different cores where there are such; the same one twice on one."""
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
        "versions": {name: _version(argv) for name, argv in VERSIONS.items()},
    }


def headline(about: dict[str, Any]) -> str:
    """The machine in one line, from what describe() found."""
    kind = "virtual machine" if about["virtual"] else "no virtual machine"
    cpu = about["cpu"] or about["architecture"]
    return f"Linux {about['kernel']}, {about['cpus']} CPUs ({cpu}), {kind}"


def _version(argv: tuple[str, ...]) -> str | None:
    """The first line that the program says of itself; None when it is not installed."""
    if shutil.which(argv[0]) is None:
        return None
    done = subprocess.run(argv, capture_output=True, text=True, timeout=10)
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0] if lines else None

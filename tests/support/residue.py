"""What a privileged test may leave behind on the machine, and how to notice it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil

NETNS = Path("/run/netns")
RUNTIME = Path("/run/sockproxy")
MOUNTS = Path("/proc/self/mounts")
# What systemd makes and removes there while tests run is not theirs.
SYSTEMD = ("system.slice", "user.slice", "init.scope")
# Python keeps these helpers of multiprocessing until it exits.
HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
PATIENCE = 3.0  # seconds: the kernel and process exits are not immediate


def mounted(kind):
    """Where filesystems of this kind are mounted."""
    lines = (line.split() for line in MOUNTS.read_text().splitlines())
    return [Path(line[1]) for line in lines if line[2] == kind]


def entries(top, *, directories_only=False):
    """All paths below `top`, as strings; none if it is not there."""
    found = set()
    for folder, directories, files in os.walk(top):
        names = directories if directories_only else directories + files
        found |= {os.path.join(folder, name) for name in names}
    return found


def cgroups():
    """The cgroup directories under each cgroup v2 mount, without systemd's own."""
    found = set()
    for mount in mounted("cgroup2"):
        below = entries(mount, directories_only=True)
        found |= {path for path in below if Path(path).relative_to(mount).parts[0] not in SYSTEMD}
    return found


def children():
    """Child processes that still run, as (pid, start time, command)."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        try:
            command = " ".join(child.cmdline())
            if child.status() == psutil.STATUS_ZOMBIE or any(each in command for each in HELPERS):
                continue
            found.add((child.pid, child.create_time(), command))
        except psutil.NoSuchProcess:
            continue
    return found


def snapshot():
    """What is there now: a set of things for each kind of residue."""
    pins = [entries(mount) for mount in mounted("bpf")]
    return {
        "network namespace": entries(NETNS),
        "cgroup": cgroups(),
        "runtime file": entries(RUNTIME),
        "pinned BPF object": set().union(*pins),
        "mount": {line for line in MOUNTS.read_text().splitlines() if not _private(line)},
        "child process": children(),
    }


def _private(mount_line):
    """Whether the mount belongs to a network namespace, which is reported as such."""
    return mount_line.split()[1].startswith(str(NETNS))


def left_behind(before, patience=PATIENCE):
    """One line for each thing that was not there `before`, after waiting for it to go."""
    deadline = time.monotonic() + patience
    while True:
        now = snapshot()
        lines = [f"{kind}: {thing}" for kind in now for thing in sorted(now[kind] - before[kind])]
        if not lines or time.monotonic() > deadline:
            return lines
        time.sleep(0.05)

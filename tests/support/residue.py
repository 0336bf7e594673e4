"""What a privileged test may leave behind on the machine, and how to notice it."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
import time
from pathlib import Path

import psutil

from tests.support.scale import patience

NETNS = Path("/run/netns")
RUNTIME = Path("/run/sockproxy")
OWN_BPFFS = Path("/run/sockproxy-bpf")
MOUNTS = Path("/proc/self/mounts")
# What systemd makes and removes there while tests run is not theirs.
SYSTEMD = ("system.slice", "user.slice", "init.scope")
# Python keeps these helpers of multiprocessing until it exits.
HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
PID = re.compile(r"(?<!\d)\d{2,7}(?!\d)")
PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid
# Kinds that another run of the tests may have made: of those that run side by side, in a /run of
# their own, cgroups alone.
SHARED = ("network namespace", "cgroup", "runtime file", "pinned BPF object")
SHARED_BESIDE = ("cgroup",)
PATIENCE = patience(3.0)  # seconds: the kernel and process exits are not immediate


def is_beside_others():
    """Whether this process is one of several that run tests at once: see apart.py."""
    return "PYTEST_XDIST_WORKER" in os.environ


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


def end_children():
    """End all that still runs below this process."""
    left = psutil.Process().children(recursive=True)
    for end in ("terminate", "kill"):
        for each in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                getattr(each, end)()
        _, left = psutil.wait_procs(left, patience(3.0))


def zombies():
    """Our children that have ended, and that nobody has waited for: their pids."""
    found = set()
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.status() == psutil.STATUS_ZOMBIE:
                found.add(child.pid)
    return found


def bury(dead):
    """Wait for those of `dead` that nobody has waited for since, as init would have: all that looks
    for processes takes its time for each of them, zombies too."""
    for pid in dead:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def listener(path):
    """The process that listens on a unix socket; None if `path` is something else."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(0.1)
        try:
            sock.connect(path)
        except OSError:
            return None
        return PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))[0]


def of_another_run(paths):
    """Those of `paths` that another run of the tests or of sockproxy holds at this moment, or may
    have left behind while it goes on.

    The names of our cgroups and runtime directories tell the process that made them; a
    proxy with another name is known by its control socket.
    """
    mine = {os.getpid(), *(pid for pid, _, _ in children())}
    holders = {(Path(path), int(pid)) for path in paths for pid in PID.findall(path)}
    holders |= {(Path(path).parent, pid) for path in paths if (pid := listener(path))}
    theirs = {path for path, pid in holders if pid not in mine and runs_sockproxy(pid)}
    if holders and {pid for pid in psutil.pids() if runs_sockproxy(pid)} - mine - ancestors():
        # Whose the dead were cannot be told, and that run kills some of its own as well.
        named = {(path, int(pid)) for path in paths for pid in PID.findall(_own_name(path))}
        theirs |= {Path(path) for path, pid in named if not psutil.pid_exists(pid)}
    return {
        path
        for path in paths
        if any(each.is_relative_to(path) or Path(path).is_relative_to(each) for each in theirs)
    }


def _own_name(path):
    """Of a thing and the folder it lies in: those above may have numbers of their own."""
    return "/".join(Path(path).parts[-2:])


def ancestors():
    """The processes that have started this one, such as make or a debugger."""
    return {each.pid for each in psutil.Process().parents()}


def runs_sockproxy(pid):
    """Whether the process runs sockproxy or its tests, and not just bears a number in a name. A
    process of tests that run side by side is known by its parent."""
    words = []
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        words += process.cmdline()
        words += psutil.Process(process.ppid()).cmdline()
    command = " ".join(words)
    return any(word in command for word in ("pytest", "sockproxy", "tests.suites"))


def recognised(kind, things):
    """Those that sockproxy or its tests can have made: users' own come and go meanwhile."""
    if kind == "cgroup":
        return {each for each in things if "sockproxy" in Path(each).parts}
    if kind == "pinned BPF object":
        return {each for each in things if "sockproxy" in each}
    if kind == "network namespace":
        return {each for each in things if PID.search(Path(each).name)}
    return things


def snapshot():
    """What is there now: a set of things for each kind of residue."""
    pins = [
        # The kernel's own, which come with a bpffs.
        {path for path in entries(mount) if not path.endswith(".debug")}
        for mount in mounted("bpf")
    ]
    return {
        "network namespace": entries(NETNS),
        "cgroup": cgroups(),
        "runtime file": entries(RUNTIME),
        "pinned BPF object": set().union(*pins),
        "mount": {line for line in MOUNTS.read_text().splitlines() if not _private(line)},
        "child process": children(),
    }


def _private(mount_line):
    """Whether the mount belongs to a network namespace, which is reported as such, or is the
    bpffs of our own, which stays: what is left on it is reported as a pin."""
    point = mount_line.split()[1]
    return point.startswith(str(NETNS)) or point == str(OWN_BPFFS)


def left_behind(before, patience=PATIENCE):
    """One line for each thing that was not there `before`, after waiting for it to go."""
    deadline = time.monotonic() + patience
    while True:
        now = snapshot()
        new = {kind: recognised(kind, things - before[kind]) for kind, things in now.items()}
        for kind in SHARED_BESIDE if is_beside_others() else SHARED:
            new[kind] -= of_another_run(new[kind])
        lines = [f"{kind}: {thing}" for kind, things in new.items() for thing in sorted(things)]
        if not lines or time.monotonic() > deadline:
            return lines
        time.sleep(0.05)

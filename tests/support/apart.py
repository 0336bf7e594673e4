"""Tests that run side by side, in processes of pytest-xdist, each with a /run of its own.

Names of bypasses, control sockets, pins and network namespaces are all there; cgroups bear the
pid of their maker, and are told apart by it. What measures the whole machine is marked `alone`.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
from pathlib import Path

from tests.support.residue import mounted

__all__ = ["live_apart", "once_for_all"]

CLONE_NEWNS = 0x20000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MNT_DETACH = 2
RUN = Path("/run")


def live_apart():
    """Leave the mounts of the others, and get an empty /run.

    For the calling thread and those that it starts: unshare(2) takes no others along.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def call(function, *arguments):
        if getattr(libc, function)(*arguments) != 0:
            error = ctypes.get_errno()
            raise OSError(error, f"{function}: {os.strerror(error)}")

    call("unshare", CLONE_NEWNS)
    call("mount", None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)
    for place in mounted("bpf"):  # one is shared by all that see it
        call("umount2", os.fsencode(place), MNT_DETACH)
    call("mount", b"tmpfs", os.fsencode(RUN), b"tmpfs", ctypes.c_ulong(0), b"mode=755")
    (RUN / "netns").mkdir()


@contextlib.contextmanager
def once_for_all(folder, place):
    """While it lasts no other process of this run is in it; the first makes the file `place`, and
    those that come later find it, each in its own /run. folder: one that all of them see."""
    kept = Path(folder) / place.name
    with open(Path(folder) / "lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if kept.exists():
            shutil.copy(kept, place)
        yield
        if place.exists() and not kept.exists():
            shutil.copy(place, kept)

"""Tests that run side by side, in processes of pytest-xdist, each with a /run of its own.

Names of bypasses, control sockets, pins and network namespaces are all there; cgroups bear the
pid of their maker, and are told apart by it. What measures the whole machine is marked `alone`.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from pathlib import Path

from tests.support.mounts import leave_mounts, mount, unmount
from tests.support.residue import mounted

__all__ = ["live_apart", "once_for_all"]

RUN = Path("/run")


def live_apart():
    """Leave the mounts of the others, and get an empty /run."""
    leave_mounts()
    for place in mounted("bpf"):  # one is shared by all that see it
        with contextlib.suppress(FileNotFoundError):  # it lies under another mount
            unmount(place)
    mount("tmpfs", RUN, "mode=755")
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

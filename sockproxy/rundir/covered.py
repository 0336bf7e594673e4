"""A bpffs that another one was mounted over, reached without a change to what others see.

No path leads to what lies below a mount. So a thread makes a mount namespace of its own, cuts it
off from all others, and unmounts there what lies on top. A descriptor that it opens then is good in
the whole process, whose own mounts are as they were.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from sockproxy.rundir.folder import DIRECTORY
from sockproxy.syscalls import (
    CLONE_NEWNS,
    MNT_DETACH,
    MS_PRIVATE,
    MS_REC,
    mount,
    unmount,
    unshare,
)

__all__ = ["open_covered"]

DEEPEST = 16  # mounts at one point, on top of one another, that are looked through


def open_covered(point: Path, device: int) -> int | None:
    """A descriptor of the file system `device`, which lies below others at `point`; the caller
    closes it. None when it is not found or this process may not look for it."""
    found: list[int] = []
    thread = threading.Thread(target=_dig, args=(point, device, found))
    thread.start()
    thread.join()
    return found[0] if found else None


def _dig(point: Path, device: int, found: list[int]) -> None:
    """Look for `device` below `point`, in a thread of its own, with which its mount namespace ends;
    the descriptor goes into `found`."""
    with contextlib.suppress(OSError):
        unshare(CLONE_NEWNS)
        # Without this step, what is unmounted below would go from other namespaces too.
        mount("none", Path("/"), None, MS_REC | MS_PRIVATE)
        for _ in range(DEEPEST):
            unmount(point, MNT_DETACH)
            fd = os.open(point, DIRECTORY)
            if os.fstat(fd).st_dev == device:
                found.append(fd)
                return
            os.close(fd)

"""A bpffs that another one was mounted over, reached without a change to what others see.

No path leads below a mount. In a mount namespace of its own, cut off from all others first, a
thread can unmount what lies on top; the descriptor that it opens there is good outside as well.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

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

DEEPEST = 16  # mounts on one another at one point


def open_covered(point: Path, device: int) -> int | None:
    """A descriptor of the file system `device`, which lies below others at `point`; the caller
    closes it. None when it is not found or this process may not look for it."""
    found: list[int] = []
    thread = threading.Thread(target=_dig, args=(point, device, found))
    thread.start()
    thread.join()
    return found[0] if found else None


def _dig(point: Path, device: int, found: list[int]) -> None:
    """In a thread, whose mount namespace ends with it."""
    with contextlib.suppress(OSError):
        unshare(CLONE_NEWNS)
        # Without this step, what is unmounted below would go from other namespaces too.
        mount("none", Path("/"), None, MS_REC | MS_PRIVATE)
        for _ in range(DEEPEST):
            unmount(point, MNT_DETACH)
            fd = os.open(point, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            if os.fstat(fd).st_dev == device:
                found.append(fd)
                return
            os.close(fd)

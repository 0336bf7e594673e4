"""System calls that Python 3.11 has no function for, by the C library that it has loaded.

Each returns what the call does, and raises OSError where the kernel refuses it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from pathlib import Path

__all__ = [
    "CLONE_NEWNET",
    "CLONE_NEWNS",
    "MNT_DETACH",
    "MS_PRIVATE",
    "MS_REC",
    "barrier",
    "end_with_parent",
    "mount",
    "pidfd_getfd",
    "setns",
    "unmount",
    "unshare",
]

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MNT_DETACH = 2
MS_REC, MS_PRIVATE = 1 << 14, 1 << 18
PR_SET_PDEATHSIG = 1
MEMBARRIER_CMD_GLOBAL = 1
PIDFD_GETFD = 438  # the same number on every machine
MEMBARRIER = {"x86_64": 324, "aarch64": 283}

_libc = ctypes.CDLL(None, use_errno=True)


def mount(
    source: str, target: Path, kind: str | None, flags: int = 0, data: str | None = None
) -> None:
    """mount(2). kind: of file system; None to change only what `flags` say of the mount."""
    words = [each.encode() if each is not None else None for each in (kind, data)]
    _check(_libc.mount(source.encode(), os.fsencode(target), words[0], flags, words[1]))


def unmount(target: Path, flags: int = 0) -> None:
    """umount2(2): take away what was mounted last at `target`."""
    _check(_libc.umount2(os.fsencode(target), flags))


def unshare(flags: int) -> None:
    """unshare(2): this thread gets namespaces of its own, of the kinds CLONE_NEW*."""
    _check(_libc.unshare(flags))


def setns(fd: int, kind: int) -> None:
    """setns(2): this thread enters the namespace that is open at `fd`, one of CLONE_NEW*."""
    _check(_libc.setns(fd, kind))


def end_with_parent(number: int = signal.SIGKILL) -> None:
    """prctl(PR_SET_PDEATHSIG): the kernel sends this process the signal `number` when the thread
    that forked it ends. One that has ended before the call is not noticed: look at getppid()."""
    _check(_libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0))


def pidfd_getfd(pidfd: int, number: int) -> int:
    """A copy of the descriptor `number` of the process at `pidfd`; the caller closes it."""
    return _check(_libc.syscall(PIDFD_GETFD, pidfd, number, 0))


def barrier() -> None:
    """membarrier(MEMBARRIER_CMD_GLOBAL): return when each RCU read-side section that began before
    the call has ended. ENOSYS where this machine's number of the call is not known."""
    number = MEMBARRIER.get(os.uname().machine)
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    _check(_libc.syscall(number, MEMBARRIER_CMD_GLOBAL, 0, 0))


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result

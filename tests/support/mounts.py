"""Mounts, and mount namespaces of this process."""

from __future__ import annotations

import contextlib
import ctypes
import os

CLONE_NEWNS = 0x00020000
MS_REC_PRIVATE = 0x4000 | 1 << 18
MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


def leave_mounts():
    """Go to a mount namespace of its own: the machine's others see nothing of what is done there.

    For the calling thread and those that it starts: unshare(2) takes no others along.
    """
    _check(_libc.unshare(CLONE_NEWNS))
    _check(_libc.mount(b"none", b"/", None, MS_REC_PRIVATE, None))


@contextlib.contextmanager
def own_mounts():
    """The same for the length of a `with`. Threads that were started inside must have ended."""
    home, before = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC), os.getcwd()
    try:
        leave_mounts()
        yield
    finally:
        _check(_libc.setns(home, CLONE_NEWNS))
        os.chdir(before)
        os.close(home)


def mount(kind, point, options=""):
    """As mount(8) does, on a directory that is there."""
    _check(_libc.mount(kind.encode(), os.fsencode(point), kind.encode(), 0, options.encode()))


def unmount(point):
    """As umount(8) does with -l: it goes, though somebody is in it."""
    _check(_libc.umount2(os.fsencode(point), MNT_DETACH))


def _check(result):
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

"""The lock of a NAME: an empty directory beside it, PLACE/+NAME, held by flock(2).

Only the owner of a place can enter it, and so nobody else can hold a lock in it. The kernel gives a
lock back when its process ends; the directory is removed by who held the lock, or who collects.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from sockproxy.rundir.folder import Folder, open_folder
from sockproxy.rundir.mounts import failure

__all__ = ["LOCK", "Waits", "give_back", "is_held", "take_lock"]

LOCK = "+"
PATIENCE = 1.0  # seconds of waiting for a lock after which the user is told
POLL = 0.02  # seconds between two tries to lock

Waits = Callable[[str], None]
"""Receives one line that says whose lock is being waited for, once that has taken PATIENCE."""


def take_lock(name: str, place: Folder, waits: Waits | None) -> Folder | None:
    """Take the lock of NAME, which give_back() takes back; None when the place has been removed.

    waits: is told for whom this waits; with None it does not wait, and returns None when another
    process holds the lock. Raises KernelError and its kin.
    """
    called = f"{LOCK}{name}"
    while True:
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(called, 0o700, dir_fd=place.fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise failure(f"take the lock {place.path / called}", error) from None
        try:
            lock = open_folder(called, place)
        except FileNotFoundError:
            continue  # its holder has removed it, as give_back() does: make it anew
        try:
            if not _hold(lock, name, waits):
                lock.close()
                return None
        except BaseException:
            lock.close()
            raise
        if lock.is_at(called, place):
            return lock
        lock.close()


def _hold(lock: Folder, name: str, waits: Waits | None) -> bool:
    begun = time.monotonic()
    while True:
        try:
            fcntl.flock(lock.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waits is None:
                return False
        else:
            return True
        if time.monotonic() - begun > PATIENCE:
            waits(f"waiting for {_holder(lock)} to finish with {name}")
            fcntl.flock(lock.fd, fcntl.LOCK_EX)
            return True
        time.sleep(POLL)


def is_held(name: str, place: Folder) -> bool:
    """Whether a process holds the lock of NAME, and so is changing it."""
    try:
        with open_folder(f"{LOCK}{name}", place) as lock:
            fcntl.flock(lock.fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _holder(lock: Folder) -> str:
    """The process that holds the lock, as /proc/locks tells, in words."""
    about = os.fstat(lock.fd)
    inode = f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}"
    with contextlib.suppress(OSError):  # mounted with subset=pid, /proc has no such file
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if "->" not in fields and len(fields) > 5 and fields[5] == inode:
                return f"process {fields[4]}"
    return "another process"


def give_back(name: str, place: Folder, lock: Folder) -> None:
    """Give back the lock that take_lock() returned, and remove its directory."""
    with contextlib.suppress(OSError):
        os.rmdir(f"{LOCK}{name}", dir_fd=place.fd)
    lock.close()

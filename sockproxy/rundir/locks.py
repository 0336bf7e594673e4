"""The lock of a NAME: an empty directory beside it, PLACE/+NAME, held by flock(2).

Only the owner of a place can enter it, and so nobody else can hold one. It ends with its process,
and who gives it back removes it.
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
PATIENCE = 1.0  # seconds that one waits for a lock before one says so
POLL = 0.02  # seconds

Waits = Callable[[str], None]
"""Is told for what is being waited, once it takes long."""


def take_lock(name: str, place: Folder, waits: Waits | None) -> Folder | None:
    """The lock of NAME; None when the place has gone, or, without `waits`, when it is held."""
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
            continue  # its holder has just given it back
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
    """Whether somebody is at work on NAME."""
    try:
        with open_folder(f"{LOCK}{name}", place) as lock:
            fcntl.flock(lock.fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _holder(lock: Folder) -> str:
    """Who has the lock, as the kernel tells."""
    about = os.fstat(lock.fd)
    inode = f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}"
    with contextlib.suppress(OSError):  # a /proc with processes only
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if "->" not in fields and len(fields) > 5 and fields[5] == inode:
                return f"process {fields[4]}"
    return "another process"


def give_back(name: str, place: Folder, lock: Folder) -> None:
    """After take_lock()."""
    with contextlib.suppress(OSError):
        os.rmdir(f"{LOCK}{name}", dir_fd=place.fd)
    lock.close()

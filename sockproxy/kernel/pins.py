"""Where a bypass keeps its state: one directory of pins for each NAME, on a bpffs.

    ROOT/NAME/link, connections, totals, settings, in_force

A directory is filled aside and renamed into place, so that a NAME is there as a whole
or not at all. Without a bpffs at /sys/fs/bpf one is mounted at OWN, and unmounted with
the last NAME.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

from sockproxy.cgroup import find_mount, mount_points
from sockproxy.errors import KernelError, PermissionDenied, SockproxyError, UsageError

__all__ = ["check_name", "collect", "has_leftovers", "locked", "names", "remove", "root"]

OWN = Path("/run/sockproxy-bpf")
MNT_DETACH = 2
ASIDE = "~"  # bpffs takes no dot in a name
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
_libc = ctypes.CDLL(None, use_errno=True)  # Python has no mount(2)


def check_name(name: str) -> str:
    """`name`, if it can be one. Raises UsageError."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"name {name!r}", hint="use up to 64 letters, digits, '_' and '-'")
    return name


def root() -> Path | None:
    """Our directory on the machine's bpffs, or on our own; None when no bpffs is mounted."""
    mounted = mount_points("bpf")
    for place in (Path("/sys/fs/bpf"), OWN, *mounted):
        if place in mounted:
            return place / "sockproxy"
    return None


def names() -> list[str]:
    """The NAMEs that are attached."""
    place = root()
    if place is None:
        return []
    try:
        return sorted(path.name for path in place.iterdir() if _NAME.fullmatch(path.name))
    except FileNotFoundError:
        return []
    except PermissionError as error:
        raise _failure(f"read {place}", error) from None


@contextlib.contextmanager
def locked() -> Iterator[Path]:
    """Our directory, made if it was not there; one process at a time is in the `with`."""
    try:
        # A directory that is always there, so that the lock leaves no trace.
        lock = os.open(find_mount(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _failure("take the lock of sockproxy's pins", error) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        place = root() or _mount()
        try:
            place.mkdir(mode=0o700, exist_ok=True)
            for left in place.glob(f"{ASIDE}*"):  # of a command that was killed
                remove(left)
        except OSError as error:
            raise _failure(f"use {place}", error) from None
        try:
            yield place
        finally:
            _tidy(place)
    finally:
        os.close(lock)


def collect() -> None:
    """Remove what commands that were killed have left, a bpffs of our own included."""
    place = root()
    if place is not None and (place.exists() or place.parent == OWN):
        with locked():
            pass


def has_leftovers() -> bool:
    """Whether a command that was killed left pins for the next one in locked() to collect."""
    place = root()
    return place is not None and any(place.glob(f"{ASIDE}*"))


def remove(folder: Path) -> None:
    """Remove a directory of pins: the link first, which detaches.

    Inside of locked(). Half of a bypass must not be found by its name if we are killed here:
    it is put aside first.
    """
    if not folder.name.startswith(ASIDE):
        folder = folder.rename(folder.with_name(f"{ASIDE}{folder.name}"))
    with contextlib.suppress(FileNotFoundError):
        (folder / "link").unlink()
    with contextlib.suppress(FileNotFoundError):
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def _tidy(place: Path) -> None:
    """Leave nothing when no NAME is left."""
    with contextlib.suppress(OSError):  # not empty: others are attached
        place.rmdir()
        if place.parent == OWN:
            _libc.umount2(os.fsencode(OWN), MNT_DETACH)  # a reader may have it open
            OWN.rmdir()


def _mount() -> Path:
    """A bpffs of our own."""
    try:
        OWN.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise _failure(f"create {OWN}", error) from None
    if _libc.mount(b"bpf", os.fsencode(OWN), b"bpf", 0, b"mode=0700"):
        number = ctypes.get_errno()
        OWN.rmdir()
        raise _failure(f"mount a bpffs at {OWN}", OSError(number, os.strerror(number)))
    return OWN / "sockproxy"


def _failure(doing: str, error: OSError) -> SockproxyError:
    if error.errno in (errno.EPERM, errno.EACCES):
        return PermissionDenied(doing, errno=error.errno, hint="run as root")
    return KernelError(doing, errno=error.errno)

"""The bpffs of this machine on which bypasses may live, and our directory on each.

There may be several: /sys/fs/bpf as a rule; OWN, which is mounted where there was no other; and
whatever else is mounted. Another tool can mount one at any time, over one of ours even. Each mount
namespace sees its own, so that what is attached in one may be out of sight in another.

A mount point is never removed or unmounted: rmdir(2) of a mount point detaches what is mounted
there in all other namespaces (docs/decisions/0007-places-and-locks.md).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sockproxy.bpf.covered import open_covered
from sockproxy.errors import KernelError, PermissionDenied, SockproxyError
from sockproxy.folders import Folder, make_folder, open_folder
from sockproxy.syscalls import mount as mount_at

__all__ = ["OURS", "Elsewhere", "Survey", "elsewhere", "failure", "is_fleeting", "make_place",
           "surveyed"]  # fmt: skip

USUAL = Path("/sys/fs/bpf")
OWN = Path("/run/sockproxy-bpf")
OURS = "sockproxy"  # our directory on a bpffs
PROC = Path("/proc")
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """A bpffs. device: the number of its file system, which two mounts of it share.

    covered: others were mounted at the same point later.
    """

    device: int
    point: Path
    covered: bool = False


@dataclass(frozen=True, slots=True)
class Survey:
    """What this mount namespace has: our directories that can be used, by descriptor; those of
    them that lie on a bpffs which another one covers; and why others cannot be used."""

    places: list[Folder]
    covered: list[Folder]
    refused: list[SockproxyError]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A NAME on a bpffs that only another mount namespace sees. pid: of a process in there."""

    name: str
    point: Path
    pid: int


def mounts(process: str = "self") -> list[Mount]:
    """Every bpffs that a process sees mounted, the usual ones first."""
    text = (PROC / process / "mountinfo").read_text("utf-8", "surrogateescape")
    found = []
    for line in text.splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.split(" ", 1)[0] != "bpf":
            continue
        _, _, device, _, point, *_ = fields.split(" ")
        major, minor = device.split(":")
        # Blanks and the like in a path are written as \040.
        path = Path(_ESCAPE.sub(lambda octal: chr(int(octal[1], 8)), point))
        found.append(Mount(os.makedev(int(major), int(minor)), path))
    last = {each.point: each for each in found}
    found = [replace(each, covered=last[each.point] is not each) for each in found]
    order = {USUAL: 0, OWN: 1}
    return sorted(found, key=lambda each: order.get(each.point, len(order)))


@contextlib.contextmanager
def surveyed() -> Iterator[Survey]:
    """All places of this mount namespace, open for the length of a `with`."""
    survey = Survey([], [], [])
    with contextlib.ExitStack() as stack:
        for mount in mounts():
            try:
                with _opened(mount) as top:
                    place = open_folder(OURS, top)
            except FileNotFoundError:
                continue
            except SockproxyError as error:
                survey.refused.append(error)
            except OSError as error:
                survey.refused.append(failure(f"read {mount.point}", error))
            else:
                stack.enter_context(place)
                if not any(_are_one(place, other) for other in survey.places):
                    survey.places.append(place)
                    if mount.covered:
                        survey.covered.append(place)
        yield survey


def make_place() -> Folder:
    """Our directory where a new NAME is to live: beside others, at the usual place, or on a bpffs
    of our own, which is mounted if need be. Raises SockproxyError.

    Where others could make or take away what is ours it is not.
    """
    with surveyed() as survey:
        for place in survey.places:
            if place.names() and place not in survey.covered and _is_safe(place):
                return Folder(os.dup(place.fd), place.path)
    failures: list[SockproxyError] = []
    for mount in _candidates(failures):
        try:
            with _opened(mount) as top:
                _check_top(top)
                return make_folder(OURS, top)
        except SockproxyError as error:
            failures.append(error)
        except OSError as error:
            failures.append(failure(f"make {mount.point / OURS}", error))
    raise failures[0]


def _candidates(failures: list[SockproxyError]) -> Iterator[Mount]:
    yield from (each for each in mounts() if each.point in (USUAL, OWN) and not each.covered)
    try:
        _mount_own()
    except SockproxyError as error:
        failures.append(error)
    yield from (each for each in mounts() if each.point != USUAL and not each.covered)


def _opened(mount: Mount) -> Folder:
    """The top of a bpffs, whoever owns it. Raises KernelError when another mount covers it."""
    folder = Folder(os.open(mount.point, _OPEN), mount.point)
    if os.fstat(folder.fd).st_dev == mount.device:
        return folder
    folder.close()
    fd = open_covered(mount.point, mount.device) if mount.covered else None
    if fd is None:
        raise KernelError(
            f"look into the bpffs at {mount.point}: another mount covers it",
            hint="what is attached there goes on; to see it, unmount what was mounted over it",
        )
    return Folder(fd, mount.point)


def _is_safe(place: Folder) -> bool:
    """Whether nobody else could rename our directory."""
    with Folder(os.open("..", _OPEN, dir_fd=place.fd), place.path.parent) as top:
        try:
            _check_top(top)
        except PermissionDenied:
            return False
    return True


def _check_top(top: Folder) -> None:
    about = os.fstat(top.fd)
    if about.st_uid not in (0, os.geteuid()):
        raise PermissionDenied(
            f"use {top.path}: it belongs to the user {about.st_uid}", hint=f"chown root {top.path}"
        )
    if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not about.st_mode & stat.S_ISVTX:
        raise PermissionDenied(
            f"use {top.path}: others may rename what is in it", hint=f"chmod 0700 {top.path}"
        )


def _mount_own() -> None:
    """Mount a bpffs at OWN, once."""
    try:
        with contextlib.suppress(FileExistsError):
            OWN.mkdir(mode=0o700)
        with open_folder(OWN) as folder:
            fcntl.flock(folder.fd, fcntl.LOCK_EX)  # nobody else can open it
            if any(each.point == OWN and _is_in_sight(each) for each in mounts()):
                return
            mount_at("bpf", folder.at(), "bpf", data="mode=0700")
    except OSError as error:
        raise failure(f"mount a bpffs at {OWN}", error) from None


def elsewhere() -> list[Elsewhere]:
    """What is attached in other mount namespaces and cannot be seen from this one, as far as
    processes in them can be looked at.

    Of this user namespace only: in one of his own anybody may mount, a file system that never
    answers among others.
    """
    known = {each.device for each in mounts() if _is_in_sight(each)}
    namespaces, mine = {_namespace("self", "mnt")}, _namespace("self", "user")
    found = []
    for pid in sorted(int(each) for each in os.listdir(PROC) if each.isdecimal()):
        with contextlib.suppress(OSError):  # it has ended, or is not ours to look into
            namespace = _namespace(str(pid), "mnt")
            if namespace in namespaces or _namespace(str(pid), "user") != mine:
                continue
            namespaces.add(namespace)
            for mount in mounts(str(pid)):
                if mount.device in known:
                    continue
                with contextlib.suppress(OSError, SockproxyError):
                    found += _look_through(pid, mount)
                    known.add(mount.device)
    return found


def is_fleeting(place: Folder) -> bool:
    """Whether a place ends with this mount namespace, as process 1 does not see it."""
    try:
        return os.fstat(place.fd).st_dev not in {each.device for each in mounts("1")}
    except OSError:
        return False  # it cannot be told


def _look_through(pid: int, mount: Mount) -> list[Elsewhere]:
    through = Mount(mount.device, PROC / str(pid) / f"root{mount.point}")
    with _opened(through) as top, open_folder(OURS, top) as place:
        return [Elsewhere(name, mount.point, pid) for name in place.names()]


def _is_in_sight(mount: Mount) -> bool:
    try:
        _opened(mount).close()
    except (OSError, SockproxyError):
        return False
    return True


def _namespace(process: str, kind: str) -> str:
    return os.readlink(PROC / process / "ns" / kind)


def _are_one(one: Folder, other: Folder) -> bool:
    return os.path.samestat(os.fstat(one.fd), os.fstat(other.fd))


def failure(doing: str, error: OSError) -> SockproxyError:
    """The error for a call on a bpffs that failed."""
    if error.errno in (errno.EPERM, errno.EACCES):
        return PermissionDenied(doing, errno=error.errno, hint="run as root")
    return KernelError(doing, errno=error.errno)

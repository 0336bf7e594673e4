"""Our directory on each bpffs on which bypasses may live: a place.

What is attached in one mount namespace may be out of sight in another, which sees other mounts.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sockproxy.errors import PermissionDenied, SockproxyError
from sockproxy.rundir import mounts as mounted
from sockproxy.rundir.folder import Folder, make_folder, open_folder
from sockproxy.rundir.mounts import OURS, OWN, USUAL, Mount, failure, is_in_sight, open_top

__all__ = ["Elsewhere", "Survey", "elsewhere", "is_fleeting", "make_place", "surveyed"]


@dataclass(frozen=True, slots=True)
class Survey:
    """What this mount namespace has: our directories that can be used, by descriptor; those of
    them that lie on a bpffs which another one covers; and why others cannot be used."""

    places: list[Folder]
    covered: list[Folder]
    refused: list[SockproxyError]

    def place_of(self, name: str) -> Folder | None:
        """Where NAME is attached; open as long as the survey is."""
        return next((place for place in self.places if name in place.names()), None)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A NAME on a bpffs that only another mount namespace sees. pid: of a process in there."""

    name: str
    point: Path
    pid: int


@contextlib.contextmanager
def surveyed() -> Iterator[Survey]:
    """All places of this mount namespace, open for the length of a `with`."""
    survey = Survey([], [], [])
    with contextlib.ExitStack() as stack:
        for mount in mounted.mounts():
            try:
                with open_top(mount) as top:
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


def make_place(survey: Survey) -> Folder:
    """Our directory where a new NAME is to live: beside others, at the usual place, or on a bpffs
    of our own, which is mounted if need be; the caller closes it. Raises SockproxyError.

    A bpffs in whose top others could rename or remove our directory is passed over.
    """
    for place in survey.places:
        if place.names() and place not in survey.covered and _is_safe(place):
            return place.copy()
    failures: list[SockproxyError] = []
    for mount in _candidates(failures):
        try:
            with open_top(mount) as top:
                _check_top(top)
                return make_folder(OURS, top)
        except SockproxyError as error:
            failures.append(error)
        except OSError as error:
            failures.append(failure(f"make {mount.point / OURS}", error))
    raise failures[0]


def _candidates(failures: list[SockproxyError]) -> Iterator[Mount]:
    mounts = mounted.mounts
    yield from (each for each in mounts() if each.point in (USUAL, OWN) and not each.covered)
    try:
        mounted.mount_own()
    except SockproxyError as error:
        failures.append(error)
    yield from (each for each in mounts() if each.point != USUAL and not each.covered)


def _is_safe(place: Folder) -> bool:
    """Whether only we and root could rename our directory, as the one above it belongs to us or
    root."""
    with place.above() as top:
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


def elsewhere() -> list[Elsewhere]:
    """What is attached in other mount namespaces and cannot be seen from this one, as far as
    processes in them can be looked at.

    Processes of other user namespaces are passed over: any user may mount in one of his own, even a
    file system that never answers, on which this would hang.
    """
    known = {each.device for each in mounted.mounts() if is_in_sight(each)}
    namespaces, mine = {_namespace("self", "mnt")}, _namespace("self", "user")
    found = []
    for pid in sorted(int(each) for each in os.listdir(mounted.PROC) if each.isdecimal()):
        with contextlib.suppress(OSError):  # it has ended, or is not ours to look into
            namespace = _namespace(str(pid), "mnt")
            if namespace in namespaces or _namespace(str(pid), "user") != mine:
                continue
            namespaces.add(namespace)
            for mount in mounted.mounts(str(pid)):
                if mount.device in known:
                    continue
                with contextlib.suppress(OSError, SockproxyError):
                    found += _look_through(pid, mount)
                    known.add(mount.device)
    return found


def is_fleeting(place: Folder) -> bool:
    """Whether a place ends with this mount namespace, as process 1 does not see it."""
    try:
        return os.fstat(place.fd).st_dev not in {each.device for each in mounted.mounts("1")}
    except OSError:
        return False  # it cannot be told


def _look_through(pid: int, mount: Mount) -> list[Elsewhere]:
    through = Mount(mount.device, mounted.PROC / str(pid) / f"root{mount.point}")
    with open_top(through) as top, open_folder(OURS, top) as place:
        return [Elsewhere(name, mount.point, pid) for name in place.names()]


def _namespace(process: str, kind: str) -> str:
    return os.readlink(mounted.PROC / process / "ns" / kind)


def _are_one(one: Folder, other: Folder) -> bool:
    return os.path.samestat(os.fstat(one.fd), os.fstat(other.fd))

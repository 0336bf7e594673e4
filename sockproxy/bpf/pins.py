"""Where a bypass keeps its state: one directory of pins for each NAME, in one of our places.

    PLACE/NAME/link, connections, totals, settings, in_force
    PLACE/~NAME       the same, while it is filled or after it was taken away
    PLACE/+NAME       empty: who holds its lock may change the other two

A directory is filled aside and renamed into place, so that a NAME is there as a whole or not at
all. Only the owner of a place can enter it, and so nobody else can take a lock in it. A lock ends
with its process; what that leaves, the next one collects.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from sockproxy.bpf.locks import LOCK, Waits, give_back, is_held, take_lock
from sockproxy.bpf.places import (
    OURS,
    Elsewhere,
    elsewhere,
    failure,
    is_fleeting,
    make_place,
    surveyed,
)
from sockproxy.errors import PermissionDenied, UsageError
from sockproxy.folders import Folder, open_folder
from sockproxy.text import shortened

__all__ = ["Waits", "check_name", "collect", "find_elsewhere", "fleeting", "locked", "names",
           "open_pins", "out_of_sight", "refused", "remove", "where"]  # fmt: skip

ASIDE = "~"  # bpffs takes no dot in a name
MOST_SHOWN = 80  # characters of a name that is none
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")


def check_name(name: str) -> str:
    """`name`, if it can be one. Raises UsageError."""
    if not _NAME.fullmatch(name):
        shown = shortened(name, MOST_SHOWN)
        raise UsageError(f"name {shown!r}", hint="use up to 64 letters, digits, '_' and '-'")
    return name


def names() -> list[str]:
    """The NAMEs that are attached, in all places.

    Raises PermissionDenied where this user may not see them.
    """
    with surveyed() as survey:
        if survey.refused and os.geteuid():
            raise PermissionDenied(survey.refused[0].failure, hint="run as root")
        found = {name for place in survey.places for name in place.names()}
    return sorted(name for name in found if _NAME.fullmatch(name))


def refused() -> list[str]:
    """Why some places are not used, what commands that were killed have left in others, and what
    to do about it; one line each."""
    with surveyed() as survey:
        return [str(each) for each in survey.refused] + [
            f"{place.path / each} was left by a command that was killed;"
            " the next attach or detach clears it"
            for place in survey.places
            for each in place.names()
            if each[0] == ASIDE and not is_held(each[1:], place) and place.at(each).exists()
        ]


def out_of_sight() -> list[str]:
    """What is attached where only other mount namespaces see it; one line each."""
    return [_out_of_sight(each) for each in elsewhere() if _NAME.fullmatch(each.name)]


def find_elsewhere(name: str) -> str:
    """Where NAME is, and how to get there, if it is attached where only another mount namespace
    sees it; else ""."""
    return next((_out_of_sight(each) for each in elsewhere() if each.name == name), "")


def _out_of_sight(each: Elsewhere) -> str:
    return (
        f"{each.name} is on the bpffs at {each.point} of another mount namespace;"
        f" reach it by 'nsenter -t {each.pid} -m sockproxy ...'"
    )


def where(name: str) -> Path | None:
    """The directory of NAME, for people to read; None when it is not attached."""
    with surveyed() as survey:
        place = _place_of(name, survey.places)
        return place.path / name if place is not None else None


def fleeting(name: str) -> str:
    """Why NAME may end before it is detached, or "": in a unit of its own mounts, say."""
    with surveyed() as survey:
        place = _place_of(name, survey.places)
        if place is None or not is_fleeting(place):
            return ""
        return (
            f"{name} is on a bpffs that only this mount namespace sees, and ends with it;"
            f" mount one at /sys/fs/bpf outside to keep it"
        )


def open_pins(name: str) -> Folder | None:
    """The directory of NAME; None when it is not attached."""
    check_name(name)
    with surveyed() as survey:
        place = _place_of(name, survey.places)
        if place is None:
            return None
        with contextlib.suppress(FileNotFoundError):
            return open_folder(name, place)
    return None


@contextlib.contextmanager
def locked(name: str, waits: Waits, *, make: bool = True) -> Iterator[Folder | None]:
    """The place of NAME, with its lock: until the `with` ends nobody else changes NAME.

    Where NAME is not attached, the place that it would get; None then with make=False.
    Raises KernelError and its kin.
    """
    check_name(name)
    while True:
        place = _find_place(name) or (make_place() if make else None)
        if place is None:
            yield None
            return
        with place:
            lock = take_lock(name, place, waits)
            if lock is None:
                continue  # who had been the last there has just tidied up
            try:
                if _has_moved(name, place):
                    continue
                _clear_aside(name, place)
                yield place
            finally:
                give_back(name, place, lock)
                _tidy(place)
        return


def collect() -> None:
    """Remove what commands that were killed have left, in all places."""
    with surveyed() as survey:
        for place in survey.places:
            left = {each[1:] for each in place.names() if each[0] in (ASIDE, LOCK)}
            for name in sorted(filter(_NAME.fullmatch, left)):
                lock = take_lock(name, place, None)
                if lock is None:
                    continue  # somebody is at work there
                try:
                    _clear_aside(name, place)
                finally:
                    give_back(name, place, lock)
                    _tidy(place)
            _tidy(place)


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


def _place_of(name: str, places: list[Folder]) -> Folder | None:
    return next((place for place in places if name in place.names()), None)


def _find_place(name: str) -> Folder | None:
    """A descriptor of one's own."""
    with surveyed() as survey:
        place = _place_of(name, survey.places)
        return Folder(os.dup(place.fd), place.path) if place is not None else None


def _has_moved(name: str, place: Folder) -> bool:
    """Whether NAME is attached in another place by now."""
    found = _find_place(name)
    if found is None:
        return False
    with found:
        return not os.path.samestat(os.fstat(found.fd), os.fstat(place.fd))


def _clear_aside(name: str, place: Folder) -> None:
    """What a command that was killed has left of NAME."""
    try:
        with contextlib.suppress(FileNotFoundError):
            remove(place.at(f"{ASIDE}{name}"))
    except OSError as error:
        raise failure(f"clear {place.path / ASIDE}{name}", error) from None


def _tidy(place: Folder) -> None:
    """Remove our directory when nothing is left in it. The bpffs stays, one of our own too."""
    with contextlib.suppress(OSError):  # not empty: others are attached
        fd = os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=place.fd)
        with Folder(fd, place.path.parent) as top:
            if place.is_at(OURS, top):
                os.rmdir(OURS, dir_fd=top.fd)

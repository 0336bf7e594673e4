"""Where a bypass keeps its state: one directory of pins for each NAME, in one of our places.

    PLACE/NAME/link@ID, settings, knobs, totals ...   a map, a link or a program each
    PLACE/~NAME       the same, while it is filled or after it was taken away
    PLACE/+NAME       empty: who holds its lock may change the other two

A directory is filled aside and renamed into place, so that a NAME is there as a whole or not at
all. Only the owner of a place can enter it, and so nobody else can take a lock in it. A lock ends
with its process; what a killed process leaves, the next command collects.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from sockproxy.errors import SockproxyError
from sockproxy.rundir.folder import Folder, open_folder
from sockproxy.rundir.locks import LOCK, Waits, give_back, take_lock
from sockproxy.rundir.mounts import OURS, failure
from sockproxy.rundir.places import make_place, surveyed
from sockproxy.rundir.sight import (
    ASIDE,
    check_name,
    check_rights,
    find_elsewhere,
    is_name,
    no_such,
)

__all__ = ["Held", "collect", "locked", "open_pins", "opened", "remove"]

LINK = "link"  # how the pins begin by which sockets of a cgroup enter: removed first


def open_pins(name: str) -> Folder | None:
    """The directory of NAME, which the caller closes; None when it is not attached."""
    check_name(name)
    with surveyed() as survey:
        place = survey.place_of(name)
        if place is not None:
            with contextlib.suppress(FileNotFoundError):
                return open_folder(name, place)
    return None


class Held:
    """The lock of a NAME is ours: what may be done with its pins meanwhile.

    attached: whether NAME was attached when the lock was taken.
    """

    def __init__(self, name: str, place: Folder, attached: bool) -> None:
        self.name, self.place, self.attached = name, place, attached

    def make(self) -> Path:
        """Make a directory aside, to be filled with pins; a path to it for calls."""
        try:
            self._aside.mkdir(mode=0o700)
        except OSError as error:
            raise failure(f"make {self.place.path / ASIDE}{self.name}", error) from None
        return self._aside

    def publish(self) -> None:
        """What was filled aside is NAME from now on."""
        try:
            self._aside.rename(self.place.at(self.name))
        except OSError as error:
            raise failure(f"make {self.place.path / self.name}", error) from None

    def unpin(self, pin: str) -> None:
        """Remove a pin that lies aside; none is no error."""
        (self._aside / pin).unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove the directory aside, which is empty again; none is no error."""
        with contextlib.suppress(FileNotFoundError):
            self._aside.rmdir()

    def open(self) -> Folder:
        """The directory of NAME, which the caller closes. Raises FileNotFoundError."""
        return open_folder(self.name, self.place)

    def remove(self) -> None:
        """Detach NAME: remove its pins."""
        remove(self.place.at(self.name))

    @property
    def _aside(self) -> Path:
        return self.place.at(f"{ASIDE}{self.name}")


@contextlib.contextmanager
def locked(name: str, waits: Waits, *, make: bool = True) -> Iterator[Held | None]:
    """Hold the lock of NAME: until the `with` ends nobody else changes NAME.

    Where NAME is not attached, the lock is one in the place that it would get, or, with make=False,
    there is none, which is None. Raises KernelError and its kin, and with `make` SockproxyError
    when NAME is attached where only another mount namespace sees it.
    """
    check_name(name)
    while True:
        place = _find_place(name, make)
        if place is None:
            yield None
            return
        with place:
            lock = take_lock(name, place, waits)
            if lock is None:
                continue  # the place was removed by who detached the last NAME in it
            try:
                attached = _is_attached(name, place)
                if attached is None:
                    continue
                _clear_aside(name, place)
                yield Held(name, place, attached)
            finally:
                give_back(name, place, lock)
                _tidy(place)
        return


@contextlib.contextmanager
def opened(name: str, waits: Waits) -> Iterator[Folder]:
    """The directory of NAME, with its lock held. Raises UsageError where NAME is not attached."""
    with locked(name, waits, make=False) as held:
        if held is None or not held.attached:
            raise no_such(name)
        with contextlib.closing(held.open()) as folder:
            yield folder


def collect() -> None:
    """Remove the pins that commands that were killed have left aside, in all places."""
    with surveyed() as survey:
        for place in survey.places:
            left = {each[1:] for each in place.names() if each[0] in (ASIDE, LOCK)}
            for name in sorted(filter(is_name, left)):
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
    """Remove a directory of pins: the links to cgroups first, which detaches.

    Inside of locked(). Half of a bypass must not be found by its name if we are killed here:
    it is put aside first.
    """
    if not folder.name.startswith(ASIDE):
        folder = folder.rename(folder.with_name(f"{ASIDE}{folder.name}"))
    with contextlib.suppress(FileNotFoundError):
        for path in sorted(folder.iterdir(), key=lambda each: not each.name.startswith(LINK)):
            path.unlink()
        folder.rmdir()


def _find_place(name: str, make: bool) -> Folder | None:
    """Where NAME is, or with `make` where it is to be; the caller closes it."""
    with surveyed() as survey:
        place = survey.place_of(name)
        if place is not None:
            return place.copy()
        check_rights(survey)
        if not make:
            return None
        if there := find_elsewhere(name):
            raise SockproxyError(there)
        return make_place(survey)


def _is_attached(name: str, place: Folder) -> bool | None:
    """Inside of its lock: whether NAME is attached in this place; None where it is in another one
    by now."""
    with surveyed() as survey:
        found = survey.place_of(name)
        if found is None:
            return False
        return True if os.path.samestat(os.fstat(found.fd), os.fstat(place.fd)) else None


def _clear_aside(name: str, place: Folder) -> None:
    """Remove the pins of NAME that a command that was killed has left aside. Its lock is held."""
    try:
        with contextlib.suppress(FileNotFoundError):
            remove(place.at(f"{ASIDE}{name}"))
    except OSError as error:
        raise failure(f"clear {place.path / ASIDE}{name}", error) from None


def _tidy(place: Folder) -> None:
    """Remove our directory when nothing is left in it. The bpffs stays, one of our own too."""
    with contextlib.suppress(OSError), place.above() as top:  # not empty: others are attached
        if place.is_at(OURS, top):
            os.rmdir(OURS, dir_fd=top.fd)

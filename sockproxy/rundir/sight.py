"""Which bypasses are in sight, which are not, and what is to be said of the places they live in."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from sockproxy.errors import PermissionDenied, UsageError
from sockproxy.rundir.locks import is_held
from sockproxy.rundir.places import Elsewhere, Survey, elsewhere, is_fleeting, surveyed
from sockproxy.text import shortened

__all__ = [
    "ASIDE",
    "Seen",
    "check_name",
    "check_rights",
    "find_elsewhere",
    "is_name",
    "names",
    "no_such",
    "out_of_sight",
    "remarks",
    "seen",
]

ASIDE = "~"  # before a NAME: its pins, while they are made or removed; bpffs takes no dot in a name
MOST_SHOWN = 80  # characters of a name that is none
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")


def is_name(name: str) -> bool:
    """Whether a bypass can be called so."""
    return _NAME.fullmatch(name) is not None


def check_name(name: str) -> str:
    """`name`, if a bypass can be called so. Raises UsageError."""
    if not is_name(name):
        shown = shortened(name, MOST_SHOWN)
        raise UsageError(f"name {shown!r}", hint="use up to 64 letters, digits, '_' and '-'")
    return name


def no_such(name: str) -> UsageError:
    """What to raise where no bypass is called so."""
    return UsageError(f"no bypass named {name}", hint="'sockproxy status' lists them")


@dataclass(frozen=True, slots=True)
class Seen:
    """names: those that are attached, sorted. remarks: as remarks() gives them."""

    names: list[str]
    remarks: list[str]


def seen() -> Seen:
    """The NAMEs that are attached, in all places, and what is to be said of the places.

    Raises PermissionDenied where this user may not see them.
    """
    with surveyed() as survey:
        return Seen(_names(survey), _remarks(survey))


def names() -> list[str]:
    """The NAMEs that are attached, in all places, sorted.

    Raises PermissionDenied where this user may not see them.
    """
    with surveyed() as survey:
        return _names(survey)


def remarks(name: str = "") -> list[str]:
    """Lines on why some places are not used and on what commands that were killed have left, with
    what to do about it; and, if `name` is attached where it may end before it is detached, as in
    a unit of its own mounts, that."""
    with surveyed() as survey:
        lines = _remarks(survey)
        place = survey.place_of(name) if name else None
        if place is not None and is_fleeting(place):
            lines.append(
                f"{name} is on a bpffs that only this mount namespace sees, and ends with it;"
                f" mount one at /sys/fs/bpf outside to keep it"
            )
        return lines


def check_rights(survey: Survey) -> None:
    """Raises PermissionDenied where places are hidden from this user, who is not root."""
    if survey.refused and os.geteuid():
        raise PermissionDenied(survey.refused[0].failure, hint="run as root")


def _names(survey: Survey) -> list[str]:
    check_rights(survey)
    found = {name for place in survey.places for name in place.names()}
    return sorted(name for name in found if is_name(name))


def _remarks(survey: Survey) -> list[str]:
    return [str(each) for each in survey.refused] + [
        f"{place.path / each} was left by a command that was killed;"
        " the next attach or detach clears it"
        for place in survey.places
        for each in place.names()
        if each[0] == ASIDE and not is_held(each[1:], place) and place.at(each).exists()
    ]


def out_of_sight() -> list[str]:
    """What is attached where only other mount namespaces see it; one line each."""
    return [_out_of_sight(each) for each in elsewhere() if is_name(each.name)]


def find_elsewhere(name: str) -> str:
    """Where NAME is, and how to get there, if it is attached where only another mount namespace
    sees it; else ""."""
    return next((_out_of_sight(each) for each in elsewhere() if each.name == name), "")


def _out_of_sight(each: Elsewhere) -> str:
    return (
        f"{each.name} is on the bpffs at {each.point} of another mount namespace;"
        f" reach it by 'nsenter -t {each.pid} -m sockproxy ...'"
    )

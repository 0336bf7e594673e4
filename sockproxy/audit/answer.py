"""What the trail says of a time: who did what, what skipped TCP, and whether that is all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sockproxy.audit.alive import last_alive
from sockproxy.audit.record import BEGUN, ENDED, LOST, SKIPPED
from sockproxy.audit.trail import Entry, Trail

__all__ = ["Answer", "answer"]


@dataclass(slots=True)
class Answer:
    """since, until: the time. actions: what was done with bypasses. skipped: sockets that have
    closed after something that they sent had skipped TCP. missing: why these may not be all; none
    where they are all."""

    since: str
    until: str
    actions: list[Mapping[str, Any]] = field(default_factory=list)
    skipped: list[Mapping[str, Any]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def answer(
    trail: Trail, since: str, until: str, name: str | None = None, program: str | None = None
) -> Answer:
    """name: of one bypass alone. program: what connections of one program alone have sent.

    Times are as stamp() has them. Raises SockproxyError.
    """
    found = Answer(since, until)
    entries = [
        each for each in trail.read() if _is_since(each, since) or _action(each) in (BEGUN, ENDED)
    ]
    found.missing += _broken(each for each in entries if _is_since(each, since))
    found.missing += [
        f"{begun} to {ended}: nobody recorded"
        for begun, ended in _gaps(entries, trail, since, until)
    ]
    for each in entries:
        says = each.says
        if not since <= each.time <= until:
            continue
        if name is not None and says.get("bypass") != name:
            continue
        action = _action(each)
        if action == SKIPPED:
            if program is None or says.get("program") == program:
                found.skipped.append(says)
        elif action == LOST:
            found.missing.append(f"{each.time}: {says.get('count')} events were lost")
        elif action not in (BEGUN, ENDED, None):
            found.actions.append(says)
    return found


def _is_since(entry: Entry, since: str) -> bool:
    """Whether it may tell something of the time from `since` on."""
    return entry.time >= since


def _action(entry: Entry) -> Any:
    return entry.says.get("action")


def _broken(entries: Iterable[Entry]) -> Iterator[str]:
    for each in entries:
        if each.unreadable:
            yield f"{each.file.name} cannot be read from line {each.number} on: {each.unreadable}"
        elif not each.intact:
            yield (
                f"line {each.number} of {each.file.name}: what was written before it was changed,"
                " or is missing"
            )


def _gaps(entries: list[Entry], trail: Trail, since: str, until: str) -> Iterator[tuple[str, str]]:
    """The times in which nobody recorded, from `since` to `until`."""
    at = since
    for begun, ended in _recorded(entries, trail, until):
        if ended <= at:
            continue
        if begun > at:
            yield at, min(begun, until)
        at = max(at, ended)
        if at >= until:
            return
    if at < until:
        yield at, until


def _recorded(entries: list[Entry], trail: Trail, until: str) -> Iterator[tuple[str, str]]:
    """From when to when somebody did, in order."""
    begun: str | None = None
    for each in entries:
        action, time = _action(each), each.time
        if action == ENDED and begun is not None:
            yield begun, time
            begun = None
        elif action == BEGUN and not (begun is not None and each.says.get("goes_on")):
            if begun is not None:  # the one before was killed
                yield begun, str(each.says.get("before") or begun)
            begun = time
    if begun is not None:
        last, lives = last_alive(trail.path.parent)
        yield begun, until if lives else last or begun

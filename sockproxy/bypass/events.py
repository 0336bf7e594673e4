"""What happens to the sockets of bypasses, as it happens: `sockproxy events`."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sockproxy.bpf.abi import Event, Plain, Trait
from sockproxy.bpf.events import Listener, SocketEvent
from sockproxy.bypass.groups import cgroup_names
from sockproxy.bypass.view import TRAFFIC, why_plain
from sockproxy.errors import SockproxyError
from sockproxy.rundir import pins, sight
from sockproxy.rundir.locks import Waits

__all__ = ["EVENTS", "Groups", "Lost", "Told", "Watch", "as_json", "name_of", "time_of", "why_of"]

LOOK = 1.0  # seconds between two looks for bypasses that come and go
MOST_GROUPS = 4096  # whose paths are kept


def name_of(kind: Event) -> str:
    """What an event is called: "fell-back"."""
    return kind.name.lower().replace("_", "-")


EVENTS = tuple(name_of(each) for each in Event)


@dataclass(frozen=True, slots=True)
class Told:
    """An event of the bypass `name`. at: seconds since the epoch."""

    name: str
    at: float
    event: SocketEvent


@dataclass(frozen=True, slots=True)
class Lost:
    """So many more events of the bypass `name` found no room."""

    name: str
    count: int


class Watch:
    """Listens to bypasses until it is closed.

    names: to which; None: to all, those that are attached later, too. size: bytes of memory for
    each, for what was not taken yet. waits: as take_lock() takes it. remark: is told why one of all
    is not listened to.

    Raises what Listener does for names that are given, and UsageError where one is not attached.
    """

    def __init__(
        self,
        names: Collection[str] | None,
        size: int,
        waits: Waits,
        remark: Callable[[str], None],
    ) -> None:
        self._follows = names is None
        self._size, self._waits, self._remark = size, waits, remark
        self._listeners: dict[str, Listener] = {}
        self._lost: dict[str, int] = {}
        self._silent: set[str] = set()
        self._looked = 0.0
        try:
            for each in names or ():
                self._listen(each)
        except BaseException:
            self.close()
            raise
        if self._follows:
            self._follow(self._names())

    @property
    def names(self) -> tuple[str, ...]:
        """Who is listened to now."""
        return tuple(self._listeners)

    def close(self) -> None:
        """Listen no more. Twice is allowed."""
        while self._listeners:
            self._listeners.popitem()[1].close()

    def take(self, *, everything: bool = False) -> Iterator[Told | Lost]:
        """What has happened since, in portions, or all of it; to be called several times a second.
        Of a bypass that was detached this is the last."""
        now = time.monotonic()
        to_wall = time.time() - now
        is_due = now - self._looked >= LOOK
        there = self._names() if is_due else self._listeners.keys()
        for name, listener in list(self._listeners.items()):
            for event in listener.take(everything=everything or name not in there):
                yield Told(name, event.when + to_wall, event)
            lost, before = listener.lost, self._lost.get(name, 0)  # once: it grows meanwhile
            self._lost[name] = lost
            if lost > before:
                yield Lost(name, lost - before)
            if name not in there:
                self._listeners.pop(name).close()
                self._lost.pop(name, None)
        if is_due and self._follows:
            self._follow(there)

    def _names(self) -> set[str]:
        """Which bypasses there are now."""
        self._looked = time.monotonic()
        return set(sight.names())

    def _follow(self, there: Collection[str]) -> None:
        """Listen to those of these that are not listened to yet."""
        self._silent.intersection_update(there)
        for name in sorted(set(there) - self._listeners.keys() - self._silent):
            try:
                self._listen(name)
            except SockproxyError as error:
                self._silent.add(name)
                self._remark(f"{name} is not listened to: {error}")

    def _listen(self, name: str) -> None:
        with pins.opened(name, self._waits) as folder:
            self._listeners[name] = Listener(name, folder, self._size)


class Groups:
    """Paths of cgroups, each looked for once."""

    def __init__(self) -> None:
        self._found: dict[int, str] = {}

    def __getitem__(self, number: int) -> str:
        if number not in self._found:
            if len(self._found) >= MOST_GROUPS:
                self._found.clear()
            self._found.update(cgroup_names({number}))
        return self._found[number]


def time_of(told: Told) -> str:
    """When it happened, as it is printed."""
    return datetime.fromtimestamp(told.at).astimezone().isoformat(timespec="microseconds")


def as_json(told: Told, groups: Groups) -> Mapping[str, Any]:
    """The fields of a line of `events --json`."""
    event = told.event
    return {
        "time": time_of(told),
        "bypass": told.name,
        "event": name_of(event.kind),
        "cookie": event.cookie,
        "peer": event.peer,
        "role": event.role.name.lower(),
        "local": event.local,
        "remote": event.remote,
        "why": why_of(event),
        "pid": event.process,
        "program": event.program,
        "cgroup": groups[event.cgroup],
        "netns": event.netns,
        "bytes_sent": event.bytes_sent + event.bypassed_bytes,
        **{each: getattr(event, each) for each in TRAFFIC},
    }


def why_of(event: SocketEvent) -> str:
    """Why the socket is plain; "" where it is not, or nothing says that it will be."""
    if event.kind is Event.LEFT_OUT:
        return why_plain(Plain.NO_GAIN, Trait(0))
    waits = event.kind is Event.ENROLLED and event.plain is Plain.PEER_UNSEEN
    return "" if waits else why_plain(event.plain, event.traits)

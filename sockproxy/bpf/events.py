"""What the programs of a bypass tell of its sockets while somebody listens: bpf/bypass/events.h."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from sockproxy.bpf import Map, ffi, open_pinned
from sockproxy.bpf.abi import Event, Plain, Role, Trait, read_counters, read_end, read_text
from sockproxy.bpf.ring import Ring
from sockproxy.errors import SockproxyError, UsageError
from sockproxy.rundir.folder import Folder

__all__ = ["HEAD", "LEASE", "NANO", "PORTION", "TELLING", "Listener", "SocketEvent", "open_telling"]

TELLING = ("listeners", "rings")
"""Maps that are pinned beside those of sockproxy.bpf.bypass; who only reads opens none of them."""
RECORD = "struct event"
MOST: int = ffi.integer_const("MOST_LISTENERS")
HEAD = 8  # bytes before each record: BPF_RINGBUF_HDR_SZ
LEASE = 60.0  # seconds that one who does not look, or was killed, is written for
PORTION = 4096  # records that are taken at once
NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class SocketEvent:
    """What happened to one socket, which is described as it was then.

    when: CLOCK_MONOTONIC, seconds. peer: the cookie of the other end on this host, or None.
    bytes_sent: by TCP. process: the one that connects or sends, or None where that is not known;
    program: its name, then.
    """

    kind: Event
    when: float
    cookie: int
    peer: int | None
    role: Role
    plain: Plain
    traits: Trait
    local: tuple[str, int]
    remote: tuple[str, int]
    cgroup: int
    netns: int
    process: int | None
    program: str
    bytes_sent: int
    bypassed_bytes: int
    bypassed_messages: int
    passed_bytes: int
    passed_messages: int


_READ: dict[str, Callable[[Any], Any]] = {
    "kind": Event,
    "when": lambda nanoseconds: nanoseconds / NANO,
    "peer": lambda cookie: int(cookie) or None,
    "role": Role,
    "plain": Plain,
    "traits": Trait,
    "process": lambda number: int(number) or None,
    "program": read_text,
}
_APART = {"local", "remote", *read_counters(ffi.new("struct traffic *")[0])}
_FIELDS = [
    (each.name, _READ.get(each.name, int))
    for each in fields(SocketEvent)
    if each.name not in _APART
]


def _event(raw: Any) -> SocketEvent:
    found = {name: read(getattr(raw, name)) for name, read in _FIELDS}
    for end in ("local", "remote"):
        found[end] = read_end(raw, end)
    return SocketEvent(**found | read_counters(raw.sent))


def open_telling(name: str, folder: Folder, opened: contextlib.ExitStack) -> list[Map]:
    """The maps of TELLING, closed with `opened`. Raises UsageError where the bypass has none."""
    found = []
    for each in TELLING:
        path = folder.at() / each
        if not path.exists():
            raise UsageError(
                f"{name} was attached by a version that tells of no events",
                hint=f"detach {name}, and attach it anew",
            )
        fd = open_pinned(str(path))
        opened.callback(os.close, fd)
        found.append(Map(each, fd))
    return found


class Listener:
    """One who is told what happens to the sockets of a bypass, from now on until close().

    name: the bypass's; its lock is held meanwhile. folder: its pins, which are left to the caller.
    size: bytes of memory for what was not taken yet.

    Raises UsageError where the bypass tells nothing, and SockproxyError when all places are taken.
    """

    def __init__(self, name: str, folder: Folder, size: int) -> None:
        self.name = name
        self._opened = contextlib.ExitStack()
        self._slot = -1
        try:
            listeners, self._rings = open_telling(name, folder, self._opened)
            self._view = listeners.view("struct listeners", 1)  # what _all is a part of
            self._all = self._view[0]
            self._ring = Ring(RECORD, max(1, size // (ffi.sizeof(RECORD) + HEAD)))
            self._opened.callback(self._ring.close)
            self._join()
        except BaseException:
            self.close()
            raise

    def _join(self) -> None:
        now = time.monotonic_ns()
        free = [slot for slot in range(MOST) if self._all.until[slot] <= now]
        if not free:
            raise SockproxyError(
                f"listen to {self.name}: {MOST} listen already", hint="end one of them"
            )
        for slot in free:
            self._leave(slot)  # what one that was killed has left
        key, value = ffi.new("uint32_t *", free[0]), ffi.new("uint32_t *", self._ring.fd)
        self._rings.update(key, value)
        self._slot = free[0]
        self._all.lost[self._slot] = 0
        self._all.until[self._slot] = now + int(LEASE * NANO)
        self._all.any = 1

    def _leave(self, slot: int) -> None:
        self._all.until[slot] = 0
        self._rings.delete(ffi.new("uint32_t *", slot))

    def take(self, *, everything: bool = False) -> Iterator[SocketEvent]:
        """What has happened since, in portions, or all that found room so far; to be called within
        LEASE again and again.

        Raises SockproxyError when it was not: then nobody knows what happened meanwhile.
        """
        late = not self._renew()
        most = self._ring.capacity if everything or late else PORTION
        for number, raw in enumerate(self._ring.take(most), 1):
            yield _event(raw)
            if number % PORTION == 0 and not late:
                late = not self._renew()
        if late:
            self._slot = -1  # it may be another's by now
            raise SockproxyError(
                f"listen to {self.name}: nothing was read for more than {LEASE:.0f} s, and what"
                " happened meanwhile is not known"
            )

    def _renew(self) -> bool:
        """Whether the slot is still ours, as it is for another LEASE then."""
        now = time.monotonic_ns()
        if now >= self._all.until[self._slot]:
            return False
        self._all.until[self._slot] = now + int(LEASE * NANO)
        return True

    @property
    def lost(self) -> int:
        """How many events there was no memory for so far."""
        return int(self._all.lost[self._slot]) if self._slot >= 0 else 0

    def close(self) -> None:
        """Listen no more. Twice is allowed."""
        if self._slot >= 0:
            self._leave(self._slot)
            self._slot = -1
            # In this order: one that joins meanwhile writes `until` first, and `any` then.
            self._all.any = 0
            if any(self._all.until[slot] for slot in range(MOST)):
                self._all.any = 1
        self._opened.close()

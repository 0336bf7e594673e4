"""What the programs of a bypass tell of its sockets while somebody listens: bpf/bypass/events.h."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sockproxy.bpf import ffi
from sockproxy.bpf.abi import Event, Plain, Role, Trait, read_fields, read_text
from sockproxy.bpf.slot import Slot
from sockproxy.rundir.folder import Folder

__all__ = ["Listener", "SocketEvent"]

MOST: int = ffi.integer_const("MOST_LISTENERS")


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
    "when": lambda nanoseconds: nanoseconds / 1e9,
    "peer": lambda cookie: int(cookie) or None,
    "role": Role,
    "plain": Plain,
    "traits": Trait,
    "process": lambda number: int(number) or None,
    "program": read_text,
}


class Listener(Slot):
    """One who is told what happens to the sockets of a bypass, from now on until close()."""

    AMONG = range(MOST)
    RECORD = "struct event"
    DOING = "listen to"
    TAKEN = f"{MOST} listen already", "end one of them"

    def __init__(self, name: str, folder: Folder, size: int) -> None:
        super().__init__(name, folder, size)
        self._all.any = 1

    def take(self, *, everything: bool = False) -> Iterator[SocketEvent]:
        """What has happened since, in portions, or all until now, as records() has
        it."""
        for raw in self.records(everything=everything):
            yield read_fields(raw, SocketEvent, _READ)

    def close(self) -> None:
        """Listen no more. Twice is allowed."""
        was_ours = self._number >= 0
        super().close()
        if was_ours:
            # In this order: one that joins meanwhile writes `until` first, and `any` then.
            self._all.any = 0
            if any(self._all.until[slot] for slot in self.AMONG):
                self._all.any = 1

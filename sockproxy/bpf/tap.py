"""What sockets of a bypass send, copied for who has asked for it: bpf/bypass/tap.h."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from sockproxy.bpf import Map, ffi, open_pinned
from sockproxy.bpf.abi import read_end
from sockproxy.bpf.bypass_settings import settings_of
from sockproxy.bpf.events import HEAD, LEASE, NANO, PORTION, open_telling
from sockproxy.bpf.ring import Ring
from sockproxy.errors import SockproxyError
from sockproxy.net.rules import Rule
from sockproxy.rundir.folder import Folder

__all__ = ["Piece", "Tap"]

RECORD = "struct tapped"
RING: int = ffi.integer_const("TAP_RING")
RULES: int = ffi.integer_const("TAP_RULES")


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that one socket sent in one message, or a part of these.

    when: CLOCK_MONOTONIC, seconds. at: bytes that it had sent before. by_tcp: not past TCP.
    """

    when: float
    cookie: int
    at: int
    local: tuple[str, int]
    remote: tuple[str, int]
    netns: int
    by_tcp: bool
    data: bytes


def _piece(raw: Any) -> Piece:
    return Piece(
        raw.when / NANO,
        int(raw.cookie),
        int(raw.at),
        read_end(raw, "local"),
        read_end(raw, "remote"),
        int(raw.netns),
        bool(raw.by_tcp),
        bytes(ffi.buffer(raw.data, raw.size)),
    )


class Tap:
    """Copies of what is sent from now on until close().

    name: the bypass's; its lock is held meanwhile. folder: its pins, which are left to the caller.
    rules: which connections; none for all. size: bytes of memory for what was not taken yet.

    Raises UsageError where the bypass has none, and SockproxyError where another tap is at work.
    """

    def __init__(self, name: str, folder: Folder, rules: Collection[Rule], size: int) -> None:
        self._name = name
        self._opened = contextlib.ExitStack()
        self._is_on = False
        try:
            listeners, self._rings = open_telling(name, folder, self._opened)
            self._view = listeners.view("struct listeners", 1)  # what _all is a part of
            self._all = self._view[0]
            self._ring = Ring(RECORD, max(1, size // (ffi.sizeof(RECORD) + HEAD)))
            self._opened.callback(self._ring.close)
            if self._all.tap_until > time.monotonic_ns():
                raise SockproxyError(
                    f"tap {name}: somebody does already",
                    hint=f"end that, or wait {LEASE:.0f} s where it was killed",
                )
            self._begin(folder, rules)
        except BaseException:
            self.close()
            raise

    def _begin(self, folder: Folder, rules: Collection[Rule]) -> None:
        fd = open_pinned(str(folder.at() / "settings"))
        try:
            Map("settings", fd).update(ffi.new("uint32_t *", RULES), settings_of(rules))
        finally:
            os.close(fd)
        self._rings.update(ffi.new("uint32_t *", RING), ffi.new("uint32_t *", self._ring.fd))
        self._all.tap_lost = 0
        self._is_on = True
        self._all.tap_until = time.monotonic_ns() + int(LEASE * NANO)

    def take(self, *, everything: bool = False) -> Iterator[Piece]:
        """What was sent since, in portions, or all that found room so far; to be called within
        LEASE again and again.

        Raises SockproxyError when it was not.
        """
        late = not self._renew()
        most = self._ring.capacity if everything or late else PORTION
        for number, raw in enumerate(self._ring.take(most), 1):
            yield _piece(raw)
            if number % PORTION == 0 and not late:
                late = not self._renew()
        if late:
            self._is_on = False  # it may be another's by now
            raise SockproxyError(f"tap {self._name}: nothing was read for more than {LEASE:.0f} s")

    def _renew(self) -> bool:
        now = time.monotonic_ns()
        if now >= self._all.tap_until:
            return False
        self._all.tap_until = now + int(LEASE * NANO)
        return True

    @property
    def lost(self) -> int:
        """How many pieces there was no memory for so far."""
        return int(self._all.tap_lost) if self._is_on else 0

    def close(self) -> None:
        """Copy no more. Twice is allowed."""
        if self._is_on:
            self._is_on = False
            self._all.tap_until = 0
            self._rings.delete(ffi.new("uint32_t *", RING))
        self._opened.close()

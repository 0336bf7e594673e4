"""A slot of a bypass, whose programs write records into our ring buffer while we have it: what
listeners and taps have in common. bpf/abi/events.h has the slots."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

from sockproxy.bpf import Map, ffi, pinned
from sockproxy.bpf.ring import PORTION, Ring
from sockproxy.errors import SockproxyError, UsageError
from sockproxy.rundir.folder import Folder

__all__ = ["LEASE", "TELLING", "Slot"]

TELLING = ("listeners", "rings")
"""Maps that are pinned beside those of sockproxy.bpf.bypass; who only reads opens none of them."""
LEASE = 60.0  # seconds that one who does not look, or was killed, is written for
NANO = 1_000_000_000


class Slot:
    """A free one of the slots AMONG, from now on until close().

    name: the bypass's; its lock is held meanwhile. folder: its pins, which are left to the caller.
    size: bytes of memory for what was not taken yet.

    Raises UsageError where the bypass has no slots, and SockproxyError where none is free.
    """

    AMONG: Sequence[int]
    RECORD: str
    """The C type of what is written."""
    DOING: str
    """What errors say is done to the bypass."""
    TAKEN: tuple[str, str]
    """What an error says where none is free, and its hint."""

    def __init__(self, name: str, folder: Folder, size: int) -> None:
        self._name, self._number = name, -1
        self._opened = contextlib.ExitStack()
        try:
            listeners, self._rings = (self._map(each, folder) for each in TELLING)
            self._view = listeners.view("struct listeners", 1)  # what _all is a part of
            self._all = self._view[0]
            self._ring = Ring.of_size(self.RECORD, size)
            self._opened.callback(self._ring.close)
            self._take(folder)
        except BaseException:
            self.close()
            raise

    def _prepare(self, folder: Folder) -> None:
        """What has to be done before the programs write."""

    def _map(self, each: str, folder: Folder) -> Map:
        path = folder.at() / each
        if not path.exists():
            raise UsageError(
                f"{self._name} was attached by a version that tells of no events",
                hint=f"detach {self._name}, and attach it anew",
            )
        return Map(each, self._opened.enter_context(pinned(str(path))))

    def _take(self, folder: Folder) -> None:
        now = time.monotonic_ns()
        free = [slot for slot in self.AMONG if self._all.until[slot] <= now]
        if not free:
            what, hint = self.TAKEN
            raise SockproxyError(f"{self.DOING} {self._name}: {what}", hint=hint)
        for slot in free:
            self._leave(slot)  # what one that was killed has left
        self._prepare(folder)
        key, value = ffi.new("uint32_t *", free[0]), ffi.new("uint32_t *", self._ring.fd)
        self._rings.update(key, value)
        self._number = free[0]
        self._all.lost[self._number] = 0
        self._all.until[self._number] = now + int(LEASE * NANO)

    def _leave(self, slot: int) -> None:
        self._all.until[slot] = 0
        self._rings.delete(ffi.new("uint32_t *", slot))

    def records(self, *, everything: bool) -> Iterator[Any]:
        """What was written since, in portions, or all until now: cdata, as Ring.take() has it. To
        be called within LEASE again and again.

        Raises SockproxyError when it was not: then nobody knows what was missed meanwhile.
        """
        late = not self._renew()
        most = None if everything or late else PORTION
        for number, raw in enumerate(self._ring.take(most), 1):
            yield raw
            if number % PORTION == 0 and not late:
                late = not self._renew()
        if late:
            self._number = -1  # it may be another's by now
            raise SockproxyError(
                f"{self.DOING} {self._name}: nothing was read for more than {LEASE:.0f} s, and what"
                " happened meanwhile is not known"
            )

    def _renew(self) -> bool:
        """Whether the slot is still ours, as it is for another LEASE then."""
        now = time.monotonic_ns()
        if now >= self._all.until[self._number]:
            return False
        self._all.until[self._number] = now + int(LEASE * NANO)
        return True

    @property
    def lost(self) -> int:
        """How many records there was no memory for so far."""
        return int(self._all.lost[self._number]) if self._number >= 0 else 0

    def close(self) -> None:
        """Leave it to others. Twice is allowed."""
        if self._number >= 0:
            self._leave(self._number)
            self._number = -1
        self._opened.close()

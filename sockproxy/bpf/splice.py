"""The real kernel: bpf/splice/splice.bpf.c loaded, its maps filled and read."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

from sockproxy.bpf import BpfObject, Link, RingBuffer, ffi
from sockproxy.bpf.abi import SharedDirection, read_counters
from sockproxy.bpf.loading import Role, load
from sockproxy.bpf.seam import Inspection
from sockproxy.bpf.splice_roles import (
    ENROLMENT,
    INSPECTING,
    MOVING,
    MOVING_BLINDLY,
    OBJECT,
    prepare,
)
from sockproxy.errors import KernelError, SockproxyError, is_passing
from sockproxy.net.tcp import fence

__all__ = ["SockmapKernel"]

BPF_NOEXIST = 1

HOLD_RECORD = 16  # bytes in the ring buffer: the event and its header
RENEWALS = 3
PACKET = bytes(64)  # the shortest frame that BPF_PROG_TEST_RUN takes is 14 bytes


class SockmapKernel:
    """SpliceKernel on two sockmaps; see bpf/splice/maps.h for why there are two.

    capacity: sockets at once.
    parser: False for the verdict-only variant, which is not exact.
    """

    def __init__(self, capacity: int, *, parser: bool = True) -> None:
        self.capacity = capacity
        self._links: list[Link] = []
        self._directions: Any = None
        self._inspections: Any = None
        self._enrolments: Any = None
        self._ring: RingBuffer | None = None
        self._receive: Callable[[int], None] = lambda slot: None
        moving = MOVING if parser else MOVING_BLINDLY
        self._object, self._no_enrolment = self._load(moving)
        try:
            self._open(moving)
        except BaseException:
            self.close()
            raise

    def _load(self, moving: Role) -> tuple[BpfObject, SockproxyError | None]:
        """The loaded object, and why it is without sock_ops, if it is."""
        needed = {each for role in (moving, INSPECTING) for each in role.programs}
        try:
            return load(OBJECT, needed | set(ENROLMENT.programs), self._size), None
        except SockproxyError as error:
            if is_passing(error.errno):
                raise
            try:
                return load(OBJECT, needed, self._size), error
            except SockproxyError:
                raise error from None  # a program that is needed was refused

    def _size(self, bpf: BpfObject) -> None:
        for name in ("targets", "sources", "directions", "slots", "free_slots"):
            bpf.set_max_entries(name, self.capacity)
        # A direction is held at most once per start, so that the ring never overflows.
        ring = 4096
        while ring < self.capacity * HOLD_RECORD:
            ring *= 2
        bpf.set_max_entries("holds", ring)
        prepare(bpf)

    def _open(self, moving: Role) -> None:
        bpf = self._object
        self._targets, self._sources = bpf.map("targets"), bpf.map("sources")
        self._slots, self._free = bpf.map("slots"), bpf.map("free_slots")
        self._directions = bpf.map("directions").view("struct direction", self.capacity)
        self._inspections = bpf.map("inspections").view("struct inspection", 1)
        self._enrolments = bpf.map("enrolments").view("struct enrolment", 1)
        self._blank = ffi.new("struct direction *")
        self._key, self._value = ffi.new("uint32_t *"), ffi.new("uint32_t *")
        self._cookie, self._fd = ffi.new("uint64_t *"), ffi.new("uint64_t *")
        self._inspect = bpf.program("inspect_slot").runner(PACKET)
        for program in moving.programs:
            assert moving.attach is not None
            moving.attach(bpf, program)
        for slot in range(self.capacity):
            self._give_back(slot)
        self._ring = RingBuffer(
            bpf.map("holds"), "struct hold_event", lambda event: self._receive(int(event.slot))
        )

    def _give_back(self, slot: int) -> None:
        self._value[0] = slot
        self._free.update(ffi.NULL, self._value)

    def _insert(self, sockmap: Any, slot: int, fd: int) -> None:
        self._key[0], self._fd[0] = slot, fd
        sockmap.update(self._key, self._fd, BPF_NOEXIST)

    def _delete(self, sockmap: Any, slot: int) -> None:
        self._key[0] = slot
        sockmap.delete(self._key)

    def direction(self, slot: int) -> SharedDirection:
        found: SharedDirection = self._directions[slot]
        return found

    def _find(self, cookie: int) -> int | None:
        self._cookie[0] = cookie
        return int(self._value[0]) if self._slots.lookup(self._cookie, self._value) else None

    def _take_over(self, sock: socket.socket, cookie: int) -> int | None:
        """The slot that sock_ops gave the socket, from now on not freed by retire()."""
        slot = self._find(cookie)
        if slot is None:
            return None
        self._directions[slot].owner = cookie
        fence(sock)
        return slot if self._find(cookie) == slot else None

    def enrol(self, sock: socket.socket, cookie: int) -> int:
        slot = self._take_over(sock, cookie)
        if slot is None:
            slot = self._insert_anew(sock.fileno(), cookie)
            self._directions[slot].owner = cookie
        return slot

    def _insert_anew(self, fd: int, cookie: int) -> int:
        if not self._free.pop(self._value):
            raise KernelError("take a slot", errno=errno.ENOSPC, hint="raise the connection limit")
        slot = int(self._value[0])
        try:
            self._insert(self._targets, slot, fd)
            self._cookie[0], self._value[0] = cookie, slot
            self._slots.update(self._cookie, self._value, BPF_NOEXIST)
        except BaseException:
            self._delete(self._targets, slot)
            self._give_back(slot)
            raise
        return slot

    def renew(self, slot: int, fd: int) -> bool:
        for _ in range(RENEWALS):
            self._delete(self._targets, slot)
            self._insert(self._targets, slot, fd)
            seen = self.inspect(slot)
            # sk_psock_backlog() may have held the old psock over our delete.
            if seen is not None and not seen.parser_used:
                return True
        return False

    def start(self, slot: int, fd: int) -> None:
        self._insert(self._sources, slot, fd)

    def stop(self, slot: int) -> None:
        self._delete(self._sources, slot)

    def release(self, slot: int, cookie: int) -> None:
        self._delete(self._sources, slot)
        self._delete(self._targets, slot)
        self._cookie[0] = cookie
        self._slots.delete(self._cookie)
        self._directions[slot] = self._blank[0]
        self._give_back(slot)

    def inspect(self, slot: int) -> Inspection | None:
        seen = self._inspections[0]
        seen.slot = slot
        self._inspect()
        if not seen.found:
            return None
        return Inspection(
            state=seen.state,
            write_seq=seen.write_seq,
            snd_una=seen.snd_una,
            rcv_nxt=seen.rcv_nxt,
            copied_seq=seen.copied_seq,
            backlog_skbs=seen.backlog_skbs,
            parser_used=bool(seen.parser_used),
            parser_working=bool(seen.parser_working),
            urgent=bool(seen.urgent),
            had_fin=bool(seen.had_fin),
        )

    def retries(self) -> bool:
        """Whether the kernel tries again to send what a full socket did not take."""
        self._inspections[0].slot = 0
        self._inspect()
        return bool(self._inspections[0].retries)

    def hold_events(self) -> int:
        assert self._ring is not None
        return self._ring.fileno()

    def take_holds(self, receive: Callable[[int], None]) -> None:
        assert self._ring is not None
        self._receive = receive
        self._ring.consume()

    def enrolments(self) -> dict[str, int]:
        return read_counters(self._enrolments[0])

    def watch_cgroup(self, fd: int) -> None:
        if self._no_enrolment is not None:
            raise self._no_enrolment
        self._links.append(self._object.program("enrol_established").attach_to_cgroup(fd))

    def close(self) -> None:
        while self._links:
            self._links.pop().close()
        if self._ring is not None:
            self._ring.close()
            self._ring = None
        # The mappings go with the last reference to them, and their descriptors too.
        self._directions = self._inspections = self._enrolments = None
        self._object.close()

"""The real kernel: bpf/splice/splice.bpf.c loaded, its maps filled and read."""

from __future__ import annotations

import socket
from itertools import count
from typing import Any

from sockproxy import native
from sockproxy.bpf import BpfObject, Link, failure, ffi
from sockproxy.bpf.abi import SharedDirection, read_counters
from sockproxy.bpf.library import for_native
from sockproxy.bpf.loading import Role, load
from sockproxy.bpf.splice_roles import (
    ENROLMENT,
    INSPECTING,
    MOVING,
    MOVING_BLINDLY,
    OBJECT,
    prepare,
)
from sockproxy.errors import SockproxyError, is_passing

__all__ = ["Share", "SockmapKernel"]


class SockmapKernel:
    """SpliceKernel on two sockmaps, which native/sockmap.c fills and reads.

    capacity: sockets at once.
    parser: False for the verdict-only variant, which is not exact.
    """

    def __init__(self, capacity: int, *, parser: bool = True) -> None:
        self.capacity = capacity
        self._links: list[Link] = []
        self._directions: Any = None
        self._enrolments: Any = None
        self._parts: Any = None
        self._lib = native.load_native()
        self.native: Any = None
        self._workers = count()
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
        prepare(bpf)

    def _open(self, moving: Role) -> None:
        bpf = self._object
        self._directions = bpf.map("directions").view("struct direction", self.capacity)
        self._enrolments = bpf.map("enrolments").view("struct enrolment", 1)
        for program in moving.programs:
            assert moving.attach is not None
            moving.attach(bpf, program)
        self._parts = parts = native.ffi.new("struct sockmap_parts *")
        for name in ("targets", "sources", "slots", "free_slots", "holds"):
            setattr(parts, name, bpf.map(name).fd)
        parts.inspect, parts.capacity = bpf.program("inspect_slot").fd, self.capacity
        parts.directions = for_native(self._directions)
        self._check(self._lib.sockmap_fill(parts), "fill the sockmaps")
        self.native = self._new_native()

    def _new_native(self) -> Any:
        """A struct kernel of one worker more."""
        try:
            return native.new(self._lib.sockmap_new(self._parts, next(self._workers)))
        except OSError as error:
            raise failure("make a ring buffer", error.errno or 0) from None

    def share(self) -> Share:
        """The same sockmaps for another worker, of at most 256 in all; to be closed before this.

        Raises KernelError and its kin.
        """
        return Share(self._new_native())

    # -- for doctor, which proves what the worker relies on ------------------------------

    def direction(self, slot: int) -> SharedDirection:
        """The struct direction of the bytes that come from `slot`, shared with BPF."""
        found: SharedDirection = self._directions[slot]
        return found

    def enrol(self, sock: socket.socket, cookie: int) -> int:
        """The socket's slot, which is the caller's to release. Raises KernelError and its kin."""
        return self._check(self.native.enrol(self.native, sock.fileno(), cookie), "enrol a socket")

    def start(self, slot: int, fd: int) -> None:
        """Let the kernel take the socket's bytes. Raises KernelError and its kin."""
        self._check(self.native.start(self.native, slot, fd), "start a redirect")

    def stop(self, slot: int) -> None:
        """Give the bytes back. Raises KernelError and its kin."""
        self._check(self.native.stop(self.native, slot), "stop a redirect")

    def release(self, slot: int, cookie: int) -> None:
        """Take the socket out of everything and free its slot."""
        self.native.release(self.native, slot, cookie)

    @staticmethod
    def _check(result: int, doing: str) -> int:
        if result < 0:
            raise failure(doing, -result)
        return result

    def retries(self) -> bool:
        """Whether the kernel tries again to send what a full socket did not take."""
        seen = ffi.new("struct inspection *")
        self._check(self.native.inspect(self.native, 0, for_native(seen)), "inspect a socket")
        return bool(seen.retries)

    # -- of all of them --------------------------------------------------------------------

    def enrolments(self) -> dict[str, int]:
        return read_counters(self._enrolments[0])

    def watch_cgroup(self, fd: int) -> None:
        if self._no_enrolment is not None:
            raise self._no_enrolment
        self._links.append(self._object.program("enrol_established").attach_to_cgroup(fd))

    def close(self) -> None:
        while self._links:
            self._links.pop().close()
        if self.native is not None:
            self._lib.sockmap_free(self.native)
            self.native = None
        # The mappings go with the last reference to them, and their descriptors too.
        self._directions = self._enrolments = self._parts = None
        self._object.close()


class Share:
    """KernelShare of one more worker: SockmapKernel.share()."""

    def __init__(self, made: Any) -> None:
        self.native = made
        self._lib = native.load_native()

    def close(self) -> None:
        """Twice is allowed."""
        if self.native is not None:
            self._lib.sockmap_free(self.native)
            self.native = None

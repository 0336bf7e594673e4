"""A kernel without BPF that can fail at any step, for the tests of worker and splicer."""

from __future__ import annotations

import errno
import os
from collections import Counter

from sockproxy import native
from sockproxy.bpf import ffi
from sockproxy.bpf.abi import Held

CALLS = {
    "enrol": "int(struct kernel *, int, uint64_t)",
    "renew": "int(struct kernel *, int, int)",
    "start": "int(struct kernel *, int, int)",
    "stop": "int(struct kernel *, int)",
    "release": "void(struct kernel *, int, uint64_t)",
    "inspect": "int(struct kernel *, int, struct inspection *)",
    "direction": "struct direction *(struct kernel *, int)",
    "take_hold": "int(struct kernel *)",
}


class FakeKernel:
    """Moves no byte: a direction that is started is held at once, so that it goes
    through every state while the pump moves its bytes.

    fail: method name -> the number of the call that fails, from 1; 0 for every call.
    """

    def __init__(self, capacity=16, fail=None):
        self.capacity = capacity
        self.fail = fail or {}
        self.calls = Counter()
        self.failed = Counter()
        self.free = list(range(capacity))
        self.directions = ffi.new("struct direction[]", capacity)
        self._blank = ffi.new("struct direction *")
        self.started = set()
        self.events = os.eventfd(0, os.EFD_NONBLOCK)
        self.held = []
        self.had_fin = False
        self.closed = False
        self._callbacks = {
            name: native.ffi.callback(kind.replace("(", "(*)(", 1), getattr(self, f"_{name}"))
            for name, kind in CALLS.items()
        }
        self.native = native.ffi.new("struct kernel *", self._callbacks)
        self.native.holds_fd, self.native.capacity = self.events, capacity

    def _step(self, name):
        """Whether this call fails."""
        self.calls[name] += 1
        fails = self.fail.get(name) in (0, self.calls[name])
        self.failed[name] += fails
        return fails

    def _direction(self, _kernel, slot):
        place = int(ffi.cast("uintptr_t", ffi.addressof(self.directions, slot)))
        return native.ffi.cast("struct direction *", place)

    def _enrol(self, _kernel, _fd, _cookie):
        return -errno.ENOMEM if self._step("enrol") else self.free.pop()

    def _renew(self, _kernel, _slot, _fd):
        return -errno.ENOMEM if self._step("renew") else 1

    def _start(self, _kernel, slot, _fd):
        if self._step("start"):
            return -errno.ENOMEM
        assert slot not in self.started, "started twice"
        self.started.add(slot)
        self.directions[slot].held = Held.BUDGET
        self.directions[slot].holds += 1
        self.directions[slot].anchored = 1
        self.held.append(slot)
        os.eventfd_write(self.events, 1)
        return 0

    def _stop(self, _kernel, slot):
        if self._step("stop"):
            return -errno.ENOMEM
        self.started.discard(slot)
        return 0

    def _release(self, _kernel, slot, _cookie):
        self._step("release")
        self.started.discard(slot)
        self.directions[slot] = self._blank[0]
        self.free.append(slot)

    def _inspect(self, _kernel, _slot, seen):
        if self._step("inspect"):
            return -errno.ENOMEM
        found = ffi.cast("struct inspection *", int(native.ffi.cast("uintptr_t", seen)))
        ffi.memmove(found, bytes(ffi.sizeof("struct inspection")), ffi.sizeof("struct inspection"))
        found.state, found.had_fin = 1, self.had_fin
        return 1

    def _take_hold(self, _kernel):
        if self.held:
            return self.held.pop(0)
        try:
            os.eventfd_read(self.events)
        except BlockingIOError:
            pass
        return -1

    def enrolments(self):
        return {}

    def watch_cgroup(self, fd):
        pass

    def close(self):
        if not self.closed:
            self.closed = True
            os.close(self.events)

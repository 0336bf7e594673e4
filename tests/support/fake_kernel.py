"""A kernel without BPF that can fail at any step, for the tests of worker and splicer."""

from __future__ import annotations

import errno
import os
import types
from collections import Counter

from sockproxy.bpf.abi import Held
from sockproxy.bpf.seam import Inspection
from sockproxy.errors import KernelError

FIELDS = (
    *("owner", "action", "target", "budget", "held", "anchored", "anchor", "queued", "backlog"),
    *("redirected_bytes", "redirected_skbs", "passed_bytes", "passed_skbs"),
    *("dropped_bytes", "dropped_skbs", "lost_bytes", "holds"),
)


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
        self.directions = [self._blank() for _ in range(capacity)]
        self.started = set()
        self.events = os.eventfd(0, os.EFD_NONBLOCK)
        self.held = []
        self.had_fin = False
        self.closed = False

    @staticmethod
    def _blank():
        return types.SimpleNamespace(**dict.fromkeys(FIELDS, 0))

    def _step(self, name):
        self.calls[name] += 1
        if self.fail.get(name) in (0, self.calls[name]):
            self.failed[name] += 1
            raise KernelError(f"fake {name}", errno=errno.ENOMEM)

    def direction(self, slot):
        return self.directions[slot]

    def enrol(self, sock, cookie):
        self._step("enrol")
        return self.free.pop()

    def renew(self, slot, fd):
        self._step("renew")
        return True

    def start(self, slot, fd):
        self._step("start")
        assert slot not in self.started, "started twice"
        self.started.add(slot)
        self.directions[slot].held = Held.BUDGET
        self.directions[slot].holds += 1
        self.directions[slot].anchored = 1
        self.held.append(slot)
        os.eventfd_write(self.events, 1)

    def stop(self, slot):
        self._step("stop")
        self.started.discard(slot)

    def release(self, slot, cookie):
        self._step("release")
        self.started.discard(slot)
        self.directions[slot] = self._blank()
        self.free.append(slot)

    def inspect(self, slot):
        self._step("inspect")
        return Inspection(1, 0, 0, 0, 0, 0, False, False, False, self.had_fin)

    def hold_events(self):
        return self.events

    def take_holds(self, receive):
        os.eventfd_read(self.events)
        held, self.held = self.held, []
        for slot in held:
            receive(slot)

    def enrolments(self):
        return {}

    def watch_cgroup(self, fd):
        self._step("watch_cgroup")

    def close(self):
        if not self.closed:
            self.closed = True
            os.close(self.events)

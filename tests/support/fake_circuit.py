"""A bypass without BPF in which proxied connections are joined, or refused, as a test says."""

from __future__ import annotations

import errno
from dataclasses import asdict, dataclass, replace

from sockproxy import native
from sockproxy.bpf.abi import Join, Refusal


@dataclass(frozen=True)
class Past:
    """struct past of native/door.h."""

    why: Refusal = Refusal.CLOSED
    busy: bool = False
    unread: int = 0
    forward_bytes: int = 0
    forward_messages: int = 0
    backward_bytes: int = 0
    backward_messages: int = 0


class FakeCircuit:
    """refuses: why nothing is joined. fail: the actions that fail. busy: how many looks of JOIN_END
    find a message on its way."""

    def __init__(self, refuses=Refusal.NONE, fail=(), busy=0):
        self.name = "fake"
        self.refuses, self.fail, self.busy = refuses, set(fail), busy
        self.asked = []
        self.past = Past()
        self.cookies = set()
        self.freed = False
        self._ask = native.ffi.callback(
            "int(*)(struct circuit *, uint32_t, uint64_t, uint64_t, struct past *)", self._on_ask
        )
        self._free = native.ffi.callback("void(*)(struct circuit *)", self._on_free)
        self.native = native.ffi.new(
            "struct circuit *", {"ask": self._ask, "free": self._free, "users": 1, "fd": -1}
        )

    def stop(self):
        """It is detached, and its owner lets go of it."""
        native.load_native().circuit_stop(self.native)
        native.load_native().circuit_put(self.native)

    def _on_free(self, _circuit):
        self.freed = True

    def _on_ask(self, _circuit, action, client, upstream, answer):
        past = self.ask(Join(action), client, upstream)
        if past is None:
            return -errno.ENOMEM
        for name, value in asdict(past).items():
            setattr(answer, name, value)
        return 0

    def ask(self, action, client, upstream):
        self.asked.append(action)
        self.cookies.add((client, upstream))
        if action in self.fail:
            return None
        busy = action is Join.END and self.busy > 0
        self.busy -= busy
        return replace(self.past, why=self.refuses, busy=busy)

"""A bypass without BPF in which proxied connections are joined, or refused, as a test says."""

from __future__ import annotations

from dataclasses import replace

from sockproxy.bpf.abi import Join, Refusal
from sockproxy.bpf.seam import Past
from sockproxy.errors import KernelError


class FakeCircuit:
    """refuses: why nothing is joined. fail: the actions that fail. busy: how many looks of JOIN_END
    find a message on its way."""

    def __init__(self, refuses=Refusal.NONE, fail=(), busy=0):
        self.refuses, self.fail, self.busy = refuses, set(fail), busy
        self.asked = []
        self.past = Past()
        self.cookies = set()
        self.stopped = False

    def ask(self, action, client, upstream):
        self.asked.append(action)
        self.cookies.add((client, upstream))
        if action in self.fail:
            raise KernelError(f"fake {action.name}")
        busy = action is Join.END and self.busy > 0
        self.busy -= busy
        return replace(self.past, why_not=self.refuses, busy=busy)

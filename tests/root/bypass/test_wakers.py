"""By which functions the kernel wakes those who wait: learned from sockets of our own."""

from __future__ import annotations

import contextlib

import pytest

from sockproxy.bpf import ffi, wakers
from sockproxy.bpf.loading import load

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.timeout(60)]

STALE = 0xFEED


def test_all_are_learned_and_differ():
    found = wakers.learn_wakers()
    assert all((found.epoll, found.poll, found.sleep))
    assert len({found.epoll, found.poll, found.sleep}) == 3


def test_what_was_seen_before_is_not_taken_for_a_sleeper(monkeypatch):
    """Where a packet is late, nothing new was seen when it is asked for: the program here writes
    into another map."""
    monkeypatch.setattr(wakers, "PATIENCE", 0.2)
    with (
        contextlib.closing(load(wakers.OBJECT, {wakers.PROGRAM})) as one,
        contextlib.closing(load(wakers.OBJECT, {wakers.PROGRAM})) as other,
    ):
        seen = other.map("seen")
        seen.update(ffi.new("uint32_t *", 0), ffi.new("uint64_t *", STALE))
        assert wakers._learn_sleep(one.program(wakers.PROGRAM).fd, seen) == 0

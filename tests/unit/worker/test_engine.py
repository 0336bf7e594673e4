"""The life-cycle of a pair against a kernel that fails at every step in turn."""

from __future__ import annotations

import threading
import time

import pytest

from sockproxy.worker.door import Changed, Ended, Limits
from sockproxy.worker.engine import Engine
from tests.support.fake_kernel import FakeKernel
from tests.support.sockets import eventually, receive, reset, tcp_pair

BYTES = bytes(range(256)) * 4000


class Running:
    """An engine on a thread of its own, and one pair on it."""

    def __init__(self, kernel, *, circuits=(), why_none="", why_not_past="", seen=False, **options):
        self.kernel = kernel
        self.events = []
        self.engine = Engine(Limits(**{"eager": True} | options), self.events.append)
        self.engine.set_circuits(circuits, why_none)
        if kernel is not None:
            self.engine.use(kernel)
        self.client, a = tcp_pair()
        self.server, b = tcp_pair()
        for sock in (a, b):
            sock.setblocking(False)
        # For a look at what the worker does to them; its connections end with these alone.
        self.sockets = (a.dup(), b.dup()) if seen else ()
        self.thread = threading.Thread(target=self.engine.loop.run)
        self.thread.start()
        self.call(lambda: self.engine.add(a, b, why_not_past=why_not_past))

    def call(self, what):
        """Have the loop's thread do it, and wait for that."""
        done = threading.Event()
        self.engine.loop.call(lambda: (what(), done.set()))
        assert done.wait(20)

    @property
    def ended(self):
        return [event for event in self.events if isinstance(event, Ended)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.engine.loop.stop()
        self.thread.join(5)
        assert not self.thread.is_alive()
        self.engine.close()
        for sock in (self.client, self.server, *self.sockets):
            sock.close()


def exchange(run):
    """Bytes each way, several times, and both ends; what plain TCP would do."""
    for _ in range(3):
        run.client.sendall(BYTES)
        assert receive(run.server, len(BYTES)) == BYTES
        run.server.sendall(BYTES)
        assert receive(run.client, len(BYTES)) == BYTES
        time.sleep(0.02)
    run.client.close()
    assert run.server.recv(1) == b""
    run.server.close()
    eventually(lambda: run.ended)
    assert run.ended[0].stats.outcome == "finished"


def test_every_state_is_passed_and_no_byte_with_it():
    kernel = FakeKernel()
    with Running(kernel) as run:
        exchange(run)
    assert kernel.calls["start"] > 2
    assert kernel.calls["renew"] > 0
    assert sorted(kernel.free) == list(range(kernel.capacity))
    assert not kernel.started


def test_events_tell_who_moves_the_bytes_and_the_end_comes_last():
    with Running(FakeKernel()) as run:
        exchange(run)
    *changes, end = run.events
    assert isinstance(end, Ended)
    assert all(isinstance(each, Changed) and each.number == end.stats.number for each in changes)
    for side in ("forward", "backward"):
        states = [each.state for each in changes if each.side == side]
        assert states[:3] == ["redirect", "drain", "redirect"]
    assert all((each.why == "") == (each.state == "redirect") for each in changes)


@pytest.mark.parametrize("first", ["client", "upstream"])
def test_an_end_that_fails_is_told_before_its_last_bytes_are_delivered(first):
    with Running(None, eager=False) as run:
        failing, other = (run.client, run.server) if first == "client" else (run.server, run.client)
        failing.sendall(b"last words")
        reset(failing)
        with pytest.raises(ConnectionResetError):
            while other.recv(100):
                pass
        eventually(lambda: run.ended)
    failed, ended = run.events
    assert (failed.number, failed.end) == (ended.stats.number, first)
    assert failed.why.endswith("reset by peer")
    assert ended.stats.outcome == f"{failed.why} ({first})"


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("step", ["enrol", "start", "renew"])
def test_what_the_kernel_refuses_is_pumped(step, number):
    kernel = FakeKernel(fail={step: number})
    with Running(kernel) as run:
        exchange(run)
    assert kernel.failed[step] > 0
    assert sorted(kernel.free) == list(range(kernel.capacity))


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("step", ["stop", "inspect"])
def test_what_breaks_the_life_cycle_ends_that_pair_with_a_reset(step, number):
    kernel = FakeKernel(fail={step: number})
    with Running(kernel) as run:
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            for _ in range(100):
                run.client.sendall(BYTES)
                receive(run.server, len(BYTES))
                time.sleep(0.005)
        eventually(lambda: run.ended)
        assert "internal error: " in run.ended[0].stats.outcome
        assert run.thread.is_alive()
    assert sorted(kernel.free) == list(range(kernel.capacity))


def test_why_a_direction_is_pumped_can_be_seen():
    with Running(FakeKernel(fail={"start": 0})) as run:
        run.client.sendall(b"x")
        receive(run.server, 1)
        (stats,) = run.engine.read().live
        assert "start a redirect: cannot allocate memory" in stats.forward.why


def test_why_both_directions_are_pumped_can_be_seen_where_a_slot_is_refused():
    """The first direction to begin asks for both."""
    with Running(FakeKernel(fail={"enrol": 0})) as run:
        eventually(lambda: run.engine.read().live)
        run.client.sendall(b"x")
        receive(run.server, 1)
        (stats,) = run.engine.read().live
        assert "enrol a socket: cannot allocate memory" in stats.forward.why
        assert stats.backward.why == stats.forward.why


def test_a_conversation_is_handed_over_and_a_stream_is_not():
    kernel = FakeKernel()
    with Running(kernel, eager=False) as run:
        for _ in range(20):
            run.server.sendall(BYTES)
            receive(run.client, len(BYTES))
        for _ in range(20):
            run.client.sendall(b"message")
            receive(run.server, 7)
        assert not kernel.calls["enrol"]
        for _ in range(5):
            run.client.sendall(b"request")
            receive(run.server, 7)
            run.server.sendall(b"response")
            receive(run.client, 8)
        eventually(lambda: kernel.calls["start"] == 2)
        assert kernel.calls["enrol"] == 2


def test_an_idle_pair_is_reset_and_a_busy_one_is_not():
    with Running(FakeKernel(), idle_timeout=1.0) as run:
        for _ in range(8):
            run.client.sendall(b"x")
            receive(run.server, 1)
            time.sleep(0.25)
        assert not run.ended
        eventually(lambda: run.ended)
        assert run.ended[0].stats.outcome == "idle for 1 s"
        with pytest.raises(ConnectionResetError):
            run.client.recv(1)


def test_a_relay_needs_no_kernel():
    with Running(None) as run:
        exchange(run)
        assert run.ended[0].stats.forward.redirected == 0

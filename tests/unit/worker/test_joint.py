"""What goes past a connection: asked for, refused, counted, given up and ended."""

from __future__ import annotations

import socket
import time

import pytest

from sockproxy.bpf.abi import Join, Refusal
from sockproxy.net.tcp import socket_cookie
from tests.support.fake_circuit import FakeCircuit, Past
from tests.support.fake_kernel import FakeKernel
from tests.support.sockets import eventually, receive
from tests.unit.worker.test_engine import Running

IT_STREAMS = "it streams"
PATIENCE = 100  # looks for a message that is on its way
WHY_NOT = {
    Refusal.NO_CLIENT: "the client is not enrolled in a bypass",
    Refusal.NO_UPSTREAM: "the upstream is not enrolled in a bypass",
    Refusal.MISFIT: "the client did not open its connection, or the upstream did not accept",
    Refusal.CLOSED: "one of the ends has to stay with TCP, or ends",
    Refusal.WAITS: "the proxy behind this one has not joined yet",
    Refusal.FULL: "the bypass has as many connections as it may have",
    Refusal.DRAINS: "the bypass is being detached",
}


def joined(*circuits, **options):
    """A pair that is a conversation from the first byte on; each redirect of its four is a reason
    to ask."""
    return Running(FakeKernel(), circuits=circuits, **options)


def talk(run, turns=1):
    for _ in range(turns):
        run.client.sendall(b"x")
        receive(run.server, 1)
        run.server.sendall(b"y")
        receive(run.client, 1)
        time.sleep(0.01)  # longer than the rest after a hold


def stats_of(run):
    (stats,) = run.engine.read().live
    return stats


def why_of(run):
    return stats_of(run).why_not_short_circuited


def stream(run):
    for _ in range(40):
        run.client.sendall(bytes(100_000))
        receive(run.server, 100_000)


def asks(circuit):
    """What it was asked, but for counters."""
    return [each for each in circuit.asked if each is not Join.READ]


def test_it_is_made_once_and_never_delays():
    circuit = FakeCircuit()
    with joined(circuit, seen=True) as run:
        for sock in run.sockets:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        talk(run, 5)
        assert run.kernel.calls["start"] > 2
        assert asks(circuit) == [Join.MAKE]
        assert circuit.cookies == {tuple(map(socket_cookie, run.sockets))}
        assert why_of(run) == ""
    with joined(FakeCircuit(), seen=True) as run:
        talk(run)
        delays = [sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for sock in run.sockets]
        assert all(delays)


def test_the_bypass_that_has_both_ends_is_found():
    first, second = FakeCircuit(Refusal.NO_CLIENT), FakeCircuit()
    with joined(first, second) as run:
        talk(run)
        assert (asks(first), asks(second)) == ([Join.MAKE, Join.END], [Join.MAKE])
        assert why_of(run) == ""


FOR_GOOD = [each for each in Refusal if each not in (0, Refusal.WAITS, Refusal.DRAINS)]


@pytest.mark.parametrize("why", FOR_GOOD)
def test_who_is_refused_waits_no_longer(why):
    circuit = FakeCircuit(why)
    with joined(circuit) as run:
        talk(run, 5)
        assert circuit.asked == [Join.MAKE, Join.END]
        assert why_of(run) == WHY_NOT[why]
        assert stats_of(run).forward.short_circuited == 0


def test_a_bypass_that_drains_may_be_attached_again():
    circuit = FakeCircuit(Refusal.DRAINS)
    with joined(circuit) as run:
        talk(run, 3)
        assert why_of(run) == WHY_NOT[Refusal.DRAINS]
        assert set(circuit.asked) == {Join.MAKE}
        circuit.refuses = Refusal.NONE
        talk(run, 10)
        assert why_of(run) == ""


def test_who_waits_for_another_proxy_is_given_up_as_well():
    circuit = FakeCircuit(Refusal.WAITS)
    with joined(circuit) as run:
        talk(run)
        assert why_of(run) == WHY_NOT[Refusal.WAITS]
        stream(run)
        eventually(lambda: why_of(run) == IT_STREAMS)
        assert asks(circuit) == [Join.MAKE, Join.END]


def test_sockets_that_were_in_use_wait_for_nothing():
    circuit = FakeCircuit()
    with Running(FakeKernel(), circuits=(circuit,), why_not_past="in use before") as run:
        talk(run, 3)
        assert circuit.asked == [Join.END]
        assert why_of(run) == "in use before"


def test_a_bypass_that_is_detached_is_let_go_with_its_last_count():
    circuit = FakeCircuit()
    with joined(circuit) as run:
        talk(run)
        circuit.past = Past(forward_bytes=6)
        run.call(lambda: run.engine.set_circuits(()))
        circuit.stop()
        assert stats_of(run).forward.short_circuited == 6
        assert not circuit.freed  # it was not seen for a moment, and works
        circuit.past, circuit.refuses = Past(forward_bytes=7), Refusal.DRAINS
        assert stats_of(run).forward.short_circuited == 7
        assert circuit.freed
        circuit.past = Past(forward_bytes=8)
        assert stats_of(run).forward.short_circuited == 7


def test_a_bypass_goes_with_the_last_connection_that_was_joined_in_it():
    circuit = FakeCircuit()
    with joined(circuit) as run:
        talk(run)
        run.call(lambda: run.engine.set_circuits(()))
        circuit.stop()
        assert not circuit.freed
        run.call(lambda: run.engine.abort(1, "over"))
        assert circuit.freed


def test_a_chain_is_joined_by_the_last_of_its_proxies():
    circuit = FakeCircuit(Refusal.WAITS)
    with joined(circuit) as run:
        talk(run)
        assert why_of(run) == WHY_NOT[Refusal.WAITS]
        circuit.refuses, circuit.past = Refusal.NONE, Past(forward_bytes=5)
        assert stats_of(run).forward.short_circuited == 5
        assert why_of(run) == ""


def test_a_kernel_that_fails_is_a_reason():
    with joined(FakeCircuit(fail={Join.MAKE})) as run:
        talk(run)
        assert why_of(run) == "short-circuit: cannot allocate memory"
    circuit = FakeCircuit()
    with joined(circuit) as run:
        talk(run)
        circuit.fail.add(Join.READ)
        assert stats_of(run).forward.short_circuited == 0


def test_without_a_bypass_its_owner_says_why():
    with Running(FakeKernel(), why_none="no bypass is attached") as run:
        talk(run)
        assert why_of(run) == "no bypass is attached"
        assert stats_of(run).forward.short_circuited == 0


def test_the_last_count_stays_when_the_kernel_knows_it_no_more():
    circuit = FakeCircuit()
    with joined(circuit) as run:
        talk(run)
        circuit.past = Past(forward_bytes=7, backward_bytes=9)
        assert stats_of(run).backward.short_circuited == 9
        circuit.past = Past()
        assert stats_of(run).forward.short_circuited == 7


def test_what_goes_past_is_not_given_up():
    circuit = FakeCircuit()
    with joined(circuit) as run:
        talk(run)
        stream(run)
        assert asks(circuit) == [Join.MAKE]
        assert why_of(run) == ""


def test_what_another_proxy_has_joined_meanwhile_is_not_given_up():
    circuit = FakeCircuit(Refusal.WAITS)
    with joined(circuit) as run:
        talk(run)
        circuit.refuses = Refusal.NONE
        stream(run)
        assert asks(circuit) == [Join.MAKE]


@pytest.mark.parametrize("busy", [0, 3, 1000])
def test_it_ends_when_nothing_is_on_its_way(busy):
    circuit = FakeCircuit(busy=busy)
    with joined(circuit) as run:
        talk(run)
        run.call(lambda: run.engine.drop(1, "forward"))
        looks = min(busy + 1, PATIENCE)
        eventually(lambda: circuit.asked.count(Join.END) == looks)
        if busy < PATIENCE:
            circuit.past = Past(forward_bytes=1)
            assert why_of(run) == "its bytes have to be seen from now on"
        else:
            eventually(lambda: run.ended)
            assert "has not arrived" in run.ended[0].stats.outcome


def test_to_end_what_was_never_made_is_to_make_it_never():
    circuit = FakeCircuit()
    with joined(circuit, eager=False) as run:
        run.call(lambda: run.engine.drop(1, "backward"))
        for _ in range(10):
            run.client.sendall(b"x")
            receive(run.server, 1)
            run.server.sendall(b"dropped")
            time.sleep(0.005)
        assert circuit.asked == []


# -- of a pair that runs ------------------------------------------------------------------


def test_a_pair_counts_what_goes_past_it():
    circuit = FakeCircuit()
    circuit.past = Past(forward_bytes=100, forward_messages=2, backward_bytes=30)
    with Running(FakeKernel(), circuits=(circuit,)) as run:
        run.client.sendall(b"x")
        receive(run.server, 1)
        eventually(lambda: circuit.asked)
        (stats,) = run.engine.read().live
        assert stats.why_not_short_circuited == ""
        assert (stats.forward.short_circuited, stats.backward.short_circuited) == (100, 30)
        assert stats.forward.short_circuited_messages == 2
        run.client.close()
        run.server.close()
        eventually(lambda: run.ended)
        assert run.engine.read().ended.short_circuited == 130
        assert circuit.asked.count(Join.MAKE) == 1


def test_what_goes_past_is_life():
    circuit, turns = FakeCircuit(), []

    def ask(action, *cookies, inner=circuit.ask):
        turns.append(action)
        circuit.past = Past(forward_bytes=min(len(turns), 8))
        return inner(action, *cookies)

    circuit.ask = ask
    with Running(FakeKernel(), circuits=(circuit,), idle_timeout=1.0) as run:
        run.client.sendall(b"x")
        receive(run.server, 1)
        eventually(lambda: len(turns) > 6)
        assert not run.ended
        eventually(lambda: run.ended)
        assert run.ended[0].stats.outcome == "idle for 1 s"


@pytest.mark.parametrize("busy", [0, 5])
def test_bytes_are_dropped_only_when_nothing_goes_past_any_more(busy):
    circuit = FakeCircuit(busy=busy)
    with Running(FakeKernel(), circuits=(circuit,)) as run:
        run.client.sendall(b"x")
        receive(run.server, 1)
        eventually(lambda: circuit.asked)
        run.engine.loop.call(lambda: run.engine.drop(1, "forward"))
        eventually(lambda: circuit.asked.count(Join.END) > busy)
        time.sleep(0.05)
        run.client.sendall(b"dropped")
        run.client.close()
        assert run.server.recv(10) == b""


def test_both_directions_are_dropped_while_something_still_goes_past():
    circuit = FakeCircuit(busy=20)
    with Running(FakeKernel(), circuits=(circuit,)) as run:
        talk(run)
        for side in ("forward", "backward"):
            run.call(lambda side=side: run.engine.drop(1, side))
        eventually(lambda: circuit.asked.count(Join.END) > 20)
        time.sleep(0.05)
        run.client.sendall(b"dropped")
        run.server.sendall(b"dropped")
        run.client.shutdown(socket.SHUT_WR)
        assert run.server.recv(10) == b""
        run.server.close()
        assert run.client.recv(10) == b""


def test_who_cannot_be_unjoined_is_reset():
    circuit = FakeCircuit(busy=1 << 30)
    with Running(FakeKernel(), circuits=(circuit,)) as run:
        run.client.sendall(b"x")
        receive(run.server, 1)
        eventually(lambda: circuit.asked)
        run.engine.loop.call(lambda: run.engine.drop(1, "forward"))
        eventually(lambda: run.ended)
        assert "has not arrived" in run.ended[0].stats.outcome


def test_a_pair_that_is_relayed_does_not_have_its_ends_wait():
    circuit = FakeCircuit()
    with Running(None, circuits=(circuit,)) as run:
        eventually(lambda: circuit.asked)
        run.client.sendall(b"x")
        receive(run.server, 1)
        assert circuit.asked == [Join.END]


def test_a_stream_does_not_have_its_ends_wait():
    circuit = FakeCircuit()
    with Running(FakeKernel(), eager=False, circuits=(circuit,)) as run:
        for _ in range(40):
            run.client.sendall(bytes(100_000))
            receive(run.server, 100_000)
        eventually(lambda: circuit.asked)
        assert circuit.asked == [Join.END]
        (stats,) = run.engine.read().live
        assert stats.why_not_short_circuited == IT_STREAMS

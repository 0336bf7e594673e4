"""What goes past a connection: asked for, refused, counted, given up and ended."""

from __future__ import annotations

import socket

import pytest

from sockproxy.bpf.abi import Join, Refusal
from sockproxy.bpf.seam import Past
from sockproxy.net.tcp import socket_cookie
from sockproxy.worker import joint as joint_module
from sockproxy.worker.joint import IT_STREAMS, WHY_NOT, Joint
from tests.support.fake_circuit import FakeCircuit
from tests.support.fake_kernel import FakeKernel
from tests.support.sockets import eventually, receive, tcp_pair
from tests.unit.worker.test_engine import Running


@pytest.fixture
def ends():
    one, other = tcp_pair()
    with one, other:
        for sock in (one, other):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        yield one, other


def joint_in(*circuits, why_none=""):
    return Joint(lambda: circuits, why_none)


def at_once(_seconds, call):
    call()


def test_it_is_made_once_and_never_delays(ends):
    circuit = FakeCircuit()
    joint = joint_in(circuit)
    assert joint.why_not == "no conversation so far"
    joint.make(*ends)
    joint.make(*ends)
    assert circuit.asked == [Join.MAKE]
    assert circuit.cookies == {tuple(map(socket_cookie, ends))}
    assert joint.why_not == ""
    assert all(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for sock in ends)


def test_the_bypass_that_has_both_ends_is_found(ends):
    first, second = FakeCircuit(Refusal.NO_CLIENT), FakeCircuit()
    joint = joint_in(first, second)
    joint.make(*ends)
    assert (first.asked, second.asked) == ([Join.MAKE, Join.END], [Join.MAKE])
    assert joint.why_not == ""


FOR_GOOD = [each for each in Refusal if each not in (0, Refusal.WAITS, Refusal.DRAINS)]


@pytest.mark.parametrize("why", FOR_GOOD)
def test_who_is_refused_waits_no_longer(ends, why):
    circuit = FakeCircuit(why)
    joint = joint_in(circuit)
    for _ in range(4):
        joint.make(*ends)
    assert circuit.asked == [Join.MAKE, Join.END]
    assert joint.why_not == WHY_NOT[why]
    assert joint.read() == Past()


def test_a_bypass_that_drains_may_be_attached_again(ends):
    circuit = FakeCircuit(Refusal.DRAINS)
    joint = joint_in(circuit)
    joint.make(*ends)
    assert joint.why_not == WHY_NOT[Refusal.DRAINS]
    circuit.refuses = Refusal.NONE
    joint.make(*ends)
    assert (circuit.asked, joint.why_not) == ([Join.MAKE, Join.MAKE], "")


def test_who_waits_for_another_proxy_is_given_up_as_well(ends):
    circuit = FakeCircuit(Refusal.WAITS)
    joint = joint_in(circuit)
    joint.make(*ends)
    joint.give_up(*ends, IT_STREAMS)
    assert (circuit.asked, joint.why_not) == ([Join.MAKE, Join.READ, Join.END], IT_STREAMS)


def test_sockets_that_were_in_use_wait_for_nothing(ends):
    circuit = FakeCircuit()
    joint = Joint(lambda: (circuit,), "in use before", never=True)
    joint.begin(*ends, "")
    joint.make(*ends)
    assert (circuit.asked, joint.why_not) == ([Join.END], "in use before")


def test_a_bypass_that_is_detached_is_let_go_with_its_last_count(ends):
    circuit = FakeCircuit()
    joint = joint_in(circuit)
    joint.make(*ends)
    circuit.past, circuit.stopped = Past(forward_bytes=6), True
    assert joint.read().bytes == 6  # it was not seen for a moment, and works
    circuit.past, circuit.refuses = Past(forward_bytes=7), Refusal.DRAINS
    assert joint.read().bytes == 7
    circuit.past = Past(forward_bytes=8)
    assert joint.read().bytes == 7


def test_a_chain_is_joined_by_the_last_of_its_proxies(ends):
    circuit = FakeCircuit(Refusal.WAITS)
    joint = joint_in(circuit)
    joint.make(*ends)
    assert joint.why_not == WHY_NOT[Refusal.WAITS]
    circuit.refuses, circuit.past = Refusal.NONE, Past(forward_bytes=5)
    assert joint.read().forward_bytes == 5
    assert joint.why_not == ""


def test_a_kernel_that_fails_is_a_reason(ends):
    joint = joint_in(FakeCircuit(fail={Join.MAKE}))
    joint.make(*ends)
    assert joint.why_not == "fake MAKE"
    circuit = FakeCircuit()
    joint = joint_in(circuit)
    joint.make(*ends)
    circuit.fail.add(Join.READ)
    assert joint.read().bytes == 0


def test_without_a_bypass_its_owner_says_why(ends):
    joint = joint_in(why_none="no bypass is attached")
    joint.make(*ends)
    joint.give_up(*ends, IT_STREAMS)
    assert joint.why_not in ("no bypass is attached", IT_STREAMS)
    assert joint.read() == Past()


def test_the_last_count_stays_when_the_kernel_knows_it_no_more(ends):
    circuit = FakeCircuit()
    joint = joint_in(circuit)
    joint.make(*ends)
    circuit.past = Past(forward_bytes=7, backward_bytes=9)
    assert joint.read().bytes == 16
    circuit.past = Past()
    assert joint.read().bytes == 16


def test_what_streams_is_given_up_unless_it_goes_past(ends):
    circuit = FakeCircuit()
    joint = joint_in(circuit)
    joint.give_up(*ends, IT_STREAMS)
    joint.make(*ends)
    assert (circuit.asked, joint.why_not) == ([Join.END], IT_STREAMS)
    circuit = FakeCircuit()
    joint = joint_in(circuit)
    joint.make(*ends)
    joint.give_up(*ends, IT_STREAMS)
    assert (circuit.asked, joint.why_not) == ([Join.MAKE, Join.READ], "")


def test_what_another_proxy_has_joined_meanwhile_is_not_given_up(ends):
    circuit = FakeCircuit(Refusal.WAITS)
    joint = joint_in(circuit)
    joint.make(*ends)
    circuit.refuses = Refusal.NONE
    joint.give_up(*ends, IT_STREAMS)
    assert (circuit.asked, joint.why_not) == ([Join.MAKE, Join.READ], "")


@pytest.mark.parametrize("busy", [0, 3, 1000])
def test_it_ends_when_nothing_is_on_its_way(ends, busy):
    circuit, told = FakeCircuit(busy=busy), []
    joint = joint_in(circuit)
    joint.make(*ends)
    joint.end(at_once, told.append)
    assert told == [busy < joint_module.PATIENCE]
    assert circuit.asked.count(Join.END) == min(busy + 1, joint_module.PATIENCE)
    circuit.past = Past(forward_bytes=1)
    joint.read()
    assert joint.why_not == joint_module.UNJOINED


def test_to_end_what_was_never_made_is_to_make_it_never(ends):
    circuit, told = FakeCircuit(), []
    joint = joint_in(circuit)
    joint.end(at_once, told.append)
    joint.make(*ends)
    assert (told, circuit.asked) == ([True], [])


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
        eventually(lambda: run.engine.pairs[1].forward.pump._sink is not None)
        run.client.sendall(b"dropped")
        run.client.close()
        assert run.server.recv(10) == b""


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

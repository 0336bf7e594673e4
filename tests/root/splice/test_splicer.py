"""The library on the real kernel: what goes in at one end comes out at the other."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import threading
import time

import pytest

import sockproxy
from sockproxy.worker import traffic as traffic_module
from tests.support.noise import pattern
from tests.support.scale import patience, scaled
from tests.support.sockets import (
    eventually,
    push_until_blocked,
    receive,
    spliced,
    tcp_buffers,
    tcp_pair,
)

pytestmark = [pytest.mark.root, pytest.mark.bpf]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_both_ways_and_both_ends(splicer, host):
    with spliced(splicer, host) as (client, server, splice):
        client.sendall(b"request")
        assert receive(server, 7) == b"request"
        server.sendall(b"response")
        assert receive(client, 8) == b"response"
        client.shutdown(socket.SHUT_WR)
        assert server.recv(1) == b""
        server.close()
        assert client.recv(1) == b""
        stats = splice.wait(patience(5))
        assert stats.outcome == "finished"
        assert (stats.forward.moved, stats.backward.moved) == (7, 8)


def test_the_kernel_moves_the_bytes(accelerated):
    with spliced(accelerated) as (client, server, splice):
        for _ in range(100):
            client.sendall(b"x" * 64)
            receive(server, 64)
        forward = splice.stats().forward
        assert forward.state == "redirect"
        assert (forward.redirected, forward.pumped) == (6400, 0)


def test_bytes_from_before_the_splice_come_first(splicer):
    client, a = tcp_pair()
    server, b = tcp_pair()
    with client, server:
        client.sendall(b"read-peeked-")
        server.sendall(b"banner")
        assert receive(a, 5) == b"read-"
        assert a.recv(7, socket.MSG_PEEK) == b"peeked-"
        splicer.splice(a, b)
        client.sendall(b"later")
        assert receive(server, 12) == b"peeked-later"
        assert receive(client, 6) == b"banner"


@pytest.mark.parametrize("size", [1, 5000, 1_000_000])
def test_what_was_read_already_comes_before_that(splicer, size):
    client, a = tcp_pair()
    server, b = tcp_pair()
    with client, server:
        for sock in (client, server):
            sock.sendall(pattern(size, 100))
        early = pattern(0, size)
        splice = splicer.splice(a, b, already_read=(early, early))
        ends = ((client, server), (server, client))
        for _, target in ends:
            assert receive(target, size + 100) == pattern(0, size + 100)
        for number in range(20):
            for source, target in ends:
                source.sendall(pattern(size + 100 + number, 1))
                assert receive(target, 1) == pattern(size + 100 + number, 1)
        stats = splice.stats()
        assert stats.forward.moved == stats.backward.moved == size + 120
        assert stats.forward.pumped >= size
        assert (stats.forward.redirected > 0) == splicer.accelerated


@pytest.mark.parametrize("step", [10, 1000, 1_000_000])
def test_a_stalled_reader_stops_the_sender(splicer, step):
    with spliced(splicer) as (client, server, splice):
        taken = push_until_blocked(client, bytes(step))
        assert taken < tcp_buffers() + (4 << 20)
        assert splice.stats().forward.largest_backlog < 2 << 20
        seen = receive(server, taken)
        assert not any(seen)
        client.sendall(b"awake")
        assert receive(server, 5) == b"awake"


def test_bursts_and_rests_change_hands_again_and_again(monkeypatch):
    """Over the budget the direction is pumped; at rest the kernel has it again."""
    monkeypatch.setattr(traffic_module, "LONGEST_REST", 0.002)
    burst, rounds = 300_000, scaled(150, 20)
    with (
        sockproxy.Splicer(pairs=4, budget=8192, eager=True) as splicer,
        spliced(splicer) as (client, server, splice),
    ):
        sent = received = 0
        for _ in range(rounds):
            for sock in (client, server):
                sock.sendall(pattern(sent, burst))
            sent += burst
            for sock in (server, client):
                assert receive(sock, burst) == pattern(received, burst)
            received += burst
            client.sendall(b"?")
            assert receive(server, 1) == b"?"
            time.sleep(0.005)
        stats = splice.stats()
        # One CPU that both sends and forwards seldom has a burst wait.
        assert stats.forward.holds > (rounds // 4 if os.cpu_count() > 1 else 0)
        assert stats.forward.redirected > 0
        assert stats.forward.pumped > 0
        assert stats.forward.moved == rounds * (burst + 1)
        assert stats.backward.moved == rounds * burst


@pytest.mark.parametrize("side", ["forward", "backward"])
def test_drop_one_direction(splicer, side):
    with spliced(splicer) as (client, server, splice):
        one, other = (client, server) if side == "forward" else (server, client)
        one.sendall(b"before")
        assert receive(other, 6) == b"before"
        splice.drop(side)
        one.sendall(b"x" * 5000)
        eventually(lambda: getattr(splice.stats(), side).dropped == 5000)
        other.sendall(b"still here")
        assert receive(one, 10) == b"still here"
        one.shutdown(socket.SHUT_WR)
        assert other.recv(10) == b""


def test_drop_lets_a_stalled_sender_go_on(splicer):
    with spliced(splicer) as (client, _server, splice):
        push_until_blocked(client, bytes(65536), quiet=0.2)
        splice.drop("forward")
        client.sendall(bytes(20 << 20))


def test_abort_resets_both_ends(splicer):
    with spliced(splicer) as (client, server, splice):
        client.sendall(b"hello")
        receive(server, 5)
        splice.abort()
        for sock in (client, server):
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        assert splice.wait(patience(5)).outcome == "aborted"
        splice.abort()


def test_await_and_many_at_once(splicer):
    async def splice_all(count):
        with contextlib.ExitStack() as stack:
            ends = [stack.enter_context(spliced(splicer)) for _ in range(count)]
            for number, (client, _, _) in enumerate(ends):
                client.sendall(bytes([number]) * 1000)
                client.close()
            for number, (_, server, _) in enumerate(ends):
                assert receive(server, 1000) == bytes([number]) * 1000
                server.close()
            return await asyncio.gather(*(splice for _, _, splice in ends))

    results = asyncio.run(splice_all(50))
    assert [stats.outcome for stats in results] == ["finished"] * 50


def test_more_pairs_than_slots_are_relayed_and_say_why():
    with sockproxy.Splicer(pairs=1, eager=True) as splicer, contextlib.ExitStack() as stack:
        ends = [stack.enter_context(spliced(splicer)) for _ in range(3)]
        for client, server, _ in ends:
            client.sendall(b"data")
            assert receive(server, 4) == b"data"
        states = [splice.stats().forward for _, _, splice in ends]
        assert states[0].redirected == 4
        for relayed in states[1:]:
            assert (relayed.state, relayed.pumped) == ("pump", 4)
            assert "take a slot" in relayed.why


def test_a_slot_is_used_again(accelerated):
    for _ in range(scaled(200, 20)):
        with spliced(accelerated) as (client, server, splice):
            client.sendall(b"data")
            assert receive(server, 4) == b"data"
            assert splice.stats().forward.redirected == 4
            client.close()
            server.close()
            splice.wait(patience(5))


def test_nothing_is_left_behind():
    gc.collect()
    before = sorted(os.listdir("/proc/self/fd"))
    with sockproxy.Splicer(pairs=8, eager=True) as splicer:
        with spliced(splicer) as (client, _server, splice):
            push_until_blocked(client, bytes(65536), quiet=0.1)
        with spliced(splicer) as (_client, _server, splice):
            pass
        splice.wait(patience(5))
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert all(thread.name != "splicer" for thread in threading.enumerate())


def test_close_resets_what_runs(splicer):
    with spliced(splicer) as (client, server, splice):
        client.sendall(b"hello")
        receive(server, 5)
        splicer.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        assert splice.wait(patience(1)).outcome == "closed"
        one, other = tcp_pair()
        with one, other, pytest.raises(sockproxy.UsageError):
            splicer.splice(one, other)


def test_wait_times_out(splicer):
    with spliced(splicer) as (_, _, splice), pytest.raises(TimeoutError):
        splice.wait(0.05)


def test_what_is_no_connected_tcp_socket_is_refused(splicer):
    good, peer = tcp_pair()
    datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    unconnected = socket.socket()
    unix, other_unix = socket.socketpair()
    closed = socket.socket()
    closed.close()
    with good, peer, datagram, unconnected, unix, other_unix:
        for bad in (datagram, unconnected, unix, closed, good):
            with pytest.raises(sockproxy.UsageError):
                splicer.splice(good, bad)
        with pytest.raises(sockproxy.UsageError):
            sockproxy.Splicer(pairs=0)
        good.sendall(b"unharmed")
        assert receive(peer, 8) == b"unharmed"


def test_verdict_only_moves_bytes_for_measurements():
    with (
        sockproxy.Splicer(pairs=4, eager=True, parser=False, force=True) as splicer,
        spliced(splicer) as (client, server, splice),
    ):
        for _ in range(20):
            client.sendall(b"x" * 100)
            receive(server, 100)
            server.sendall(b"y" * 100)
            receive(client, 100)
        assert splice.stats().forward.redirected == 2000
        client.close()
        assert server.recv(1) == b""

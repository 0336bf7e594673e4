"""The library on the real kernel: many pairs, their slots, and sockets that make no pair."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import threading

import pytest

import sockproxy
from tests.support.scale import patience, scaled
from tests.support.sockets import (
    push_until_blocked,
    receive,
    spliced,
    tcp_pair,
)

pytestmark = [pytest.mark.root, pytest.mark.bpf]


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
            assert "all slots are taken" in relayed.why


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

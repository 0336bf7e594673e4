"""The library on the real kernel: what goes in at one end comes out at the other."""

from __future__ import annotations

import os
import random
import socket
import threading
import time

import pytest

import sockproxy
from tests.support.scale import patience, scaled
from tests.support.sockets import (
    receive,
    spliced,
    tcp_pair,
)

pytestmark = [pytest.mark.root, pytest.mark.bpf]


NOISE = random.Random(1).randbytes(1_000_003)


def pattern(offset, count):
    """The bytes at `offset` of an endless stream that repeats with a prime period."""
    start = offset % len(NOISE)
    return (NOISE[start:] + NOISE * (count // len(NOISE) + 1))[:count]


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


def test_end_of_stream_from_before_the_splice(splicer):
    client, a = tcp_pair()
    server, b = tcp_pair()
    with client, server:
        client.sendall(b"all of it")
        client.shutdown(socket.SHUT_WR)
        time.sleep(0.05)
        splicer.splice(a, b)
        assert receive(server, 9) == b"all of it"
        assert server.recv(1) == b""
        server.sendall(b"answer")
        assert receive(client, 6) == b"answer"


@pytest.mark.parametrize("size", [1, 1000, 1_000_000])
def test_close_right_after_the_last_write(splicer, size):
    for _ in range(scaled(20, 2)):
        with spliced(splicer) as (client, server, splice):
            client.sendall(pattern(0, size))
            client.close()
            assert receive(server, size) == pattern(0, size)
            assert server.recv(1) == b""
            server.close()
            assert splice.wait(patience(5)).outcome == "finished"


@pytest.mark.parametrize("first", ["client", "server"])
def test_half_close_with_much_to_flow_the_other_way(splicer, first):
    size = scaled(100_000_000)
    with spliced(splicer) as (client, server, splice):
        one, other = (client, server) if first == "client" else (server, client)
        one.sendall(b"go")
        one.shutdown(socket.SHUT_WR)
        assert receive(other, 2) == b"go"
        assert other.recv(1) == b""
        writer = threading.Thread(target=write_stream, args=(other, size, 100_000))
        writer.start()
        read_stream(one, size, 300_000)
        writer.join()
        assert splice.wait(patience(5)).outcome == "finished"


def write_stream(sock, size, step):
    offset = 0
    while offset < size:
        count = min(step, size - offset)
        sock.sendall(pattern(offset, count))
        offset += count
    sock.shutdown(socket.SHUT_WR)


def read_stream(sock, size, step):
    offset = 0
    while part := sock.recv(step):
        assert part == pattern(offset, len(part)), f"wrong bytes after {offset}"
        offset += len(part)
    assert offset == size


def test_bursts_and_rests_change_hands_again_and_again():
    """Over the budget the direction is pumped; at rest the kernel has it again, after rests that
    double up to a second."""
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
        assert stats.forward.holds > (4 if os.cpu_count() > 1 else 0)
        assert stats.forward.redirected > 0
        assert stats.forward.pumped > 0
        assert stats.forward.moved == rounds * (burst + 1)
        assert stats.backward.moved == rounds * burst

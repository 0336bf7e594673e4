"""The library on the real kernel: streams that are reset, stalled, dropped or given up."""

from __future__ import annotations

import socket

import pytest

import sockproxy
from tests.support.scale import patience
from tests.support.sockets import (
    eventually,
    push_until_blocked,
    receive,
    reset,
    spliced,
    tcp_buffers,
    tcp_pair,
)

pytestmark = [pytest.mark.root, pytest.mark.bpf]


@pytest.mark.parametrize("who", ["client", "server"])
def test_reset_passes_on(splicer, who):
    with spliced(splicer) as (client, server, splice):
        client.sendall(b"hello")
        receive(server, 5)
        one, other = (client, server) if who == "client" else (server, client)
        reset(one)
        with pytest.raises(ConnectionResetError):
            other.recv(1)
        assert "reset" in splice.wait(patience(5)).outcome


def test_reset_of_a_stalled_stream(splicer):
    with spliced(splicer) as (client, server, splice):
        push_until_blocked(client, bytes(65536), quiet=0.2)
        reset(client)
        with pytest.raises(ConnectionResetError):
            while server.recv(65536):
                pass
        assert "reset" in splice.wait(patience(5)).outcome


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

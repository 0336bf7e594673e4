"""How streams end through a splicer on the real kernel: at their last byte, or by a reset."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from tests.support.noise import pattern
from tests.support.scale import patience, scaled
from tests.support.sockets import push_until_blocked, receive, reset, spliced, tcp_pair

pytestmark = [pytest.mark.root, pytest.mark.bpf]


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

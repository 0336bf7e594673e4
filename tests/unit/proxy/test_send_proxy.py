"""Who the client is, told to upstreams by the PROXY protocol, before the client's bytes."""

from __future__ import annotations

import socket
import struct

import pytest

from sockproxy.net.address import parse_address
from tests.support.proxy_thread import Running, host
from tests.support.scale import patience
from tests.support.sockets import eventually, receive

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
FAMILIES = {"TCP4": (socket.AF_INET, 0x11, 12), "TCP6": (socket.AF_INET6, 0x21, 36)}


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.settimeout(patience(10))
        yield sock


def told(upstream, version):
    """(family's name, source, its port, where it came to, its port)."""
    if version == 1:
        line = b""
        while not line.endswith(b"\r\n"):
            line += receive(upstream, 1)
        word, family, source, target, port, other = line.decode().rstrip().split(" ")
        assert word == "PROXY"
        return family, source, int(port), target, int(other)
    head = receive(upstream, 16)
    assert head[:12] == SIGNATURE
    assert head[12] == 0x21
    for name, (family, number, size) in FAMILIES.items():
        if head[13] == number:
            assert struct.unpack("!H", head[14:]) == (size,)
            body = receive(upstream, size)
            half = (size - 4) // 2
            source, target = body[:half], body[half : 2 * half]
            ports = struct.unpack("!HH", body[2 * half :])
            return (name, socket.inet_ntop(family, source), ports[0],
                    socket.inet_ntop(family, target), ports[1])  # fmt: skip
    raise AssertionError(head)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("listen", "to", "family"),
    [("127.0.0.1:0", "127.0.0.1", "TCP4"), ("[::1]:0", "::1", "TCP6"),
     ("[::]:0", "127.0.0.1", "TCP4"), ("0.0.0.0:0", "127.1.2.3", "TCP4")],
)  # fmt: skip
def test_it_comes_first_and_then_every_byte(server, version, listen, to, family):
    where = (parse_address(listen, passive=True),)
    with Running([host(server)], listen=where, send_proxy=version) as running:
        port = running.proxy.listening[0].port
        with socket.create_connection((to, port), patience(10)) as client:
            client.settimeout(patience(10))
            near = client.getsockname()[:2]
            upstream, _ = server.accept()
            upstream.settimeout(patience(10))
            with upstream:
                # Also of a client that says nothing: the server may be the one to begin.
                assert told(upstream, version) == (family, near[0], near[1], to, port)
                upstream.sendall(b"hello")
                assert receive(client, 5) == b"hello"
                client.sendall(b"x" * 100_000)
                client.shutdown(socket.SHUT_WR)
                assert receive(upstream, 100_000) == b"x" * 100_000
                assert upstream.recv(1) == b""
        eventually(lambda: running.proxy.clients.count == 0)
        assert all("finished" in line for line in running.lines if line.startswith("#"))


def test_one_that_is_refused_elsewhere_is_told_once(server):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        closed = host(gone)
    with Running([closed, host(server)], send_proxy=1) as running:
        for _ in range(3):
            with running.connect() as client:
                upstream, _ = server.accept()
                upstream.settimeout(patience(10))
                with upstream:
                    assert told(upstream, 1)[2] == client.getsockname()[1]
                    client.sendall(b"!")
                    assert receive(upstream, 1) == b"!"


def test_it_does_not_go_past_us(server):
    with (
        Running([host(server)], send_proxy=2) as running,
        running.connect(),
        server.accept()[0],
    ):
        eventually(lambda: running.proxy.worker.live)
        (row,) = running.proxy.worker.read().live
        assert row.why_not_short_circuited

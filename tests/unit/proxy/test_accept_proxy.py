"""A header of the PROXY protocol before a client's bytes: who may send one, and what is wrong."""

from __future__ import annotations

import socket
import struct
import time

import pytest

from sockproxy.net.networks import parse_network
from sockproxy.worker.rules import Rules
from tests.support.pattern import Pattern
from tests.support.proxy_thread import Running, has_refused, host
from tests.support.scale import patience
from tests.support.sockets import eventually, receive
from tests.unit.proxy.test_send_proxy import SIGNATURE, told

HERE = (parse_network("127.0.0.0/8"),)
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 4000 443\r\n"
V2 = SIGNATURE + b"\x21\x11" + struct.pack("!H", 12) + bytes([192, 0, 2, 7, 198, 51, 100, 1])
V2 += struct.pack("!HH", 4000, 443)
V2_6 = SIGNATURE + b"\x21\x21" + struct.pack("!H", 36 + 7)
V2_6 += socket.inet_pton(socket.AF_INET6, "2001:db8::7") + bytes(16) + struct.pack("!HH", 9, 10)
V2_6 += b"\x04\x00\x04TLVs"
LOCAL = SIGNATURE + b"\x20\x00" + struct.pack("!H", 0)
UNKNOWN = b"PROXY UNKNOWN\r\n"


def trusting(server, networks=HERE, **options):
    timeout = options.pop("hello_timeout", patience(5))
    rules = Rules(accept_proxy=networks, hello_timeout=timeout, **options.pop("rules", {}))
    return Running([host(server)], rules=rules, **options)


@pytest.fixture
def server(servers):
    return servers[0]


def served(client, server, seed):
    """Every byte that follows the header arrives, either way, and then the end."""
    upstream, _ = server.accept()
    upstream.settimeout(patience(10))
    pattern = Pattern(seed)
    with upstream:
        client.sendall(pattern.at(0, 100_000))
        client.shutdown(socket.SHUT_WR)
        assert receive(upstream, 100_000) == pattern.at(0, 100_000)
        assert upstream.recv(1) == b""
        upstream.sendall(b"bye")
    assert receive(client, 3) == b"bye"


@pytest.mark.parametrize(
    ("header", "who"),
    [(V1, ("192.0.2.7", 4000)), (V2, ("192.0.2.7", 4000)), (V2_6, ("2001:db8::7", 9))],
    ids=["v1", "v2", "v2-ipv6-and-more"],
)
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_who_is_said_to_be_the_client_is(server, header, who, step):
    with trusting(server) as running, running.connect() as client:
        for at in range(0, len(header), step):
            client.sendall(header[at : at + step])
            time.sleep(0.001 if step < 1000 else 0)
        eventually(lambda: running.proxy.worker.live)
        (row,) = running.proxy.worker.read().live
        assert row.client == who
        assert row.why_not_short_circuited
        served(client, server, 5)


@pytest.mark.parametrize("header", [LOCAL, UNKNOWN], ids=["local", "unknown"])
def test_where_nobody_is_said_it_is_who_connected(server, header):
    with trusting(server) as running, running.connect() as client:
        client.sendall(header + b"x")
        upstream, _ = server.accept()
        with upstream:
            assert receive(upstream, 1) == b"x"
            (row,) = running.proxy.worker.read().live
            assert row.client == client.getsockname()


def test_header_and_bytes_in_one_segment(server):
    with trusting(server) as running, running.connect() as client:
        client.sendall(V2 + b"the first bytes")
        upstream, _ = server.accept()
        with upstream:
            assert receive(upstream, 15) == b"the first bytes"
            served_rest = Pattern(1).at(0, 1000)
            client.sendall(served_rest)
            assert receive(upstream, 1000) == served_rest


def test_nobody_else_is_believed(server):
    elsewhere = (parse_network("10.0.0.0/8"), parse_network("2001:db8::/32"))
    with trusting(server, elsewhere) as running, running.connect() as client:
        client.sendall(V1)  # it is for the upstream
        upstream, _ = server.accept()
        with upstream:
            assert receive(upstream, len(V1)) == V1
            (row,) = running.proxy.worker.read().live
            assert row.client == client.getsockname()


def test_it_is_passed_on(server):
    with trusting(server, send_proxy=2) as running, running.connect() as client:
        client.sendall(V1)
        upstream, _ = server.accept()
        upstream.settimeout(patience(10))
        with upstream:
            assert told(upstream, 2) == ("TCP4", "192.0.2.7", 4000, "198.51.100.1", 443)


def is_reset(client):
    try:
        return client.recv(1) == b"?"
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    ("words", "why"),
    [(b"GET / HTTP/1.1\r\n", "no PROXY header"),
     (b"PROXY TCP4 1.2.3.4\r\n", "not as it must be"),
     (b"PROXY " + b"x" * 120, "no end"),
     (SIGNATURE + b"\x21\x11\xff\xff", "too long"),
     (SIGNATURE + b"\x11\x11\x00\x0c", "version")],
)  # fmt: skip
def test_what_is_wrong_is_reset_and_told(server, words, why):
    with trusting(server, max_connections=8) as running:
        for _ in range(3):
            with running.connect() as client:
                client.sendall(words)
                assert is_reset(client)
        eventually(lambda: running.proxy.clients.count == 0)
        has_refused(running, {"bad hello": 3})
        running.has_told(why, 3)
        with running.connect() as client:
            client.sendall(V1)
            served(client, server, 6)


@pytest.mark.parametrize("words", [b"", b"PRO", V2[:20]])
def test_one_that_says_no_more_is_reset_in_time(server, words):
    with trusting(server, hello_timeout=0.2) as running, running.connect() as client:
        client.sendall(words)
        assert is_reset(client)
        eventually(lambda: running.proxy.clients.count == 0)
        has_refused(running, {"no hello": 1})


@pytest.mark.parametrize("words", [b"", b"PRO", V2[:20]])
@pytest.mark.parametrize("how", ["end", "reset"])
def test_one_that_goes_is_not_waited_for(server, words, how):
    with trusting(server, hello_timeout=1000) as running:
        with running.connect() as client:
            client.sendall(words)
            eventually(lambda: running.proxy.clients.count == 1)
            if how == "end":
                client.shutdown(socket.SHUT_WR)
                assert is_reset(client)
            else:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        eventually(lambda: running.proxy.clients.count == 0)
        has_refused(running, {"no hello": 1})


def test_one_that_is_silent_holds_nobody_up_and_ends_with_the_proxy(server):
    with trusting(server, hello_timeout=1000, workers=1) as running:
        silent = [running.connect() for _ in range(20)]
        with running.connect() as client:
            client.sendall(V2)
            served(client, server, 7)
        eventually(lambda: running.proxy.clients.count == 20)
    for each in silent:
        assert is_reset(each)
        each.close()

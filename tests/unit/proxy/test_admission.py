"""Who may be a client: by networks, by how many of a host there are, and for how long."""

from __future__ import annotations

import select
import socket
import struct

import pytest

from sockproxy.net.networks import parse_network
from sockproxy.units import Rate
from sockproxy.worker.rules import Rules
from tests.support.proxy_thread import Running, has_refused, host
from tests.support.scale import patience
from tests.support.sockets import eventually, receive
from tests.unit.proxy.test_send_proxy import SIGNATURE


@pytest.fixture
def server(servers):
    return servers[0]


def ruled(server, **rules):
    networks = {"allow", "deny", "accept_proxy"}
    said = {
        name: tuple(map(parse_network, value)) if name in networks else value
        for name, value in rules.items()
    }
    return Running([host(server)], rules=Rules(**said))


class Client(socket.socket):
    """was_reset: before it had said anything."""

    was_reset = False


def client_of(running, source="127.0.0.1", header=b""):
    client = Client()
    client.settimeout(patience(10))
    client.bind((source, 0))
    try:
        client.connect(running.proxy.listening[0].sockaddr)
        client.sendall(header + b"?")
    except (ConnectionResetError, BrokenPipeError):
        client.was_reset = True
    return client


def upstream_of(client, server):
    """Its upstream; None where it was reset."""
    if client.was_reset:
        return None
    server.settimeout(0)
    eventually(lambda: select.select([client, server], [], [], 0)[0])
    try:
        upstream, _ = server.accept()
    except BlockingIOError:
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        return None
    upstream.settimeout(patience(10))
    assert receive(upstream, 1) == b"?"
    return upstream


def is_served(client, server):
    if upstream := upstream_of(client, server):
        upstream.close()
    return upstream is not None


def header_of(source):
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    size = 36 if ":" in source else 12
    packed = socket.inet_pton(family, source)
    head = SIGNATURE + bytes([0x21, 0x21 if ":" in source else 0x11]) + struct.pack("!H", size)
    return head + packed * 2 + struct.pack("!HH", 1, 2)


def outcome(running, server, source):
    """Whether a client of whom a header says so is served."""
    with client_of(running, header=header_of(source)) as client:
        return is_served(client, server)


@pytest.mark.parametrize(
    ("rules", "served", "refused"),
    [
        ({"allow": ["127.0.0.2", "127.0.1.0/24"]}, ["127.0.0.2", "127.0.1.77"],
         ["127.0.0.1", "127.0.0.3", "127.0.2.0"]),
        ({"deny": ["127.0.0.2"]}, ["127.0.0.1", "127.0.0.3"], ["127.0.0.2"]),
        ({"allow": ["127.0.0.0/8"], "deny": ["127.0.0.2/31", "127.9.0.0/16"]},
         ["127.0.0.1", "127.0.0.4"], ["127.0.0.2", "127.0.0.3", "127.9.8.7"]),
        ({"allow": ["10.0.0.0/8"]}, [], ["127.0.0.1"]),
        ({"allow": ["10.0.0.0/8", "::/0"]}, [], ["127.0.0.1"]),  # it is IPv6
        ({"allow": ["::ffff:127.0.0.0/104"]}, ["127.0.0.1"], []),
        ({"deny": ["::/0"]}, ["127.0.0.1"], []),
        ({"deny": ["0.0.0.0/0"]}, [], ["127.0.0.1"]),
    ],
)  # fmt: skip
def test_by_networks(server, rules, served, refused):
    with ruled(server, **rules) as running:
        for source in served + refused:
            with client_of(running, source) as client:
                assert is_served(client, server) == (source in served), source
        has_refused(running, ({"denied": len(refused)} if refused else {}))
        eventually(lambda: running.proxy.clients.count == 0)


def test_many_networks_are_searched_as_they_are(server):
    denied = [f"10.{a}.{b}.0/25" for a in range(0, 256, 5) for b in range(0, 256, 16)]
    denied += ["2001:db8::/33", "2001:db8:ffff::/48"]
    with ruled(server, deny=denied, accept_proxy=["127.0.0.0/8"]) as running:
        for source, expected in (
            ("10.0.0.0", False), ("10.0.0.127", False), ("10.0.0.128", True),
            ("10.255.240.5", False), ("10.255.241.5", True), ("9.255.255.255", True),
            ("2001:db8:7fff::1", False), ("2001:db8:8000::1", True), ("2001:db8:ffff:1::", False),
            ("::ffff:10.0.0.1", False),
        ):  # fmt: skip
            assert outcome(running, server, source) == expected, source


def test_who_is_meant_is_the_client_that_a_header_tells_of(server):
    with ruled(server, deny=["127.0.0.1"], accept_proxy=["127.0.0.0/8"]) as running:
        assert outcome(running, server, "192.0.2.1")
        assert not outcome(running, server, "127.0.0.1")


@pytest.mark.parametrize("workers", [1, 3])
def test_so_many_of_one_host_at_once(server, workers):
    rules = Rules(max_per_client=2)
    with Running([host(server)], rules=rules, workers=workers) as running:
        first = [client_of(running) for _ in range(2)]
        upstreams = [upstream_of(each, server) for each in first]
        assert all(upstreams)
        for _ in range(3):
            with client_of(running) as more:
                assert not is_served(more, server)
        with client_of(running, "127.0.0.2") as other:
            assert is_served(other, server)
        first[0].close()
        upstreams[0].close()
        eventually(lambda: running.proxy.clients.count == 1)
        with client_of(running) as another:
            assert is_served(another, server)
        has_refused(running, {"max-per-client": 3})
        for each in (*first, *upstreams):
            each.close()


def test_an_ipv6_host_is_its_network(server):
    with (
        ruled(server, max_per_client=1, accept_proxy=["127.0.0.0/8"]) as running,
        client_of(running, header=header_of("2001:db8:0:1::7")) as client,
    ):
        upstream = upstream_of(client, server)
        assert not outcome(running, server, "2001:db8:0:1::8")
        assert outcome(running, server, "2001:db8:0:2::8")
        upstream.close()


def test_so_many_of_one_host_in_a_time(server):
    with ruled(server, rate_per_client=Rate(3, 3600.0)) as running:
        for source in ("127.0.0.1", "127.0.0.2"):
            for turn in range(5):
                with client_of(running, source) as client:
                    assert is_served(client, server) == (turn < 3)
        has_refused(running, {"rate-per-client": 4})


def test_one_that_came_too_often_may_come_later(server):
    with ruled(server, rate_per_client=Rate(1, 0.2)) as running:
        with client_of(running) as client:
            assert is_served(client, server)

        def comes():
            with client_of(running) as again:
                return is_served(again, server)

        eventually(comes)


def test_many_hosts_are_remembered(server):
    """More of them than there is room for at first."""
    rules = {"rate_per_client": Rate(1, 3600.0), "accept_proxy": ["127.0.0.0/8"]}
    with ruled(server, **rules) as running:
        for _ in range(2):
            for number in range(200):
                source = f"10.0.{number // 100}.{number % 100}"
                with client_of(running, header=header_of(source)) as client:
                    is_served(client, server)
        has_refused(running, {"rate-per-client": 200})


def test_a_connection_ends_when_it_is_too_old(server):
    with ruled(server, lifetime=0.3) as running, client_of(running) as client:
        upstream = upstream_of(client, server)
        with pytest.raises(ConnectionResetError):
            while True:
                upstream.sendall(b"still here")
                client.recv(100)
        eventually(lambda: running.told("at the end of its lifetime of 0.3 s"))
        upstream.close()


def test_one_service_has_an_idle_timeout_of_its_own(server):
    with ruled(server, idle_timeout=0.3) as running, client_of(running) as client:
        upstream = upstream_of(client, server)
        client.settimeout(patience(20))
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        eventually(lambda: running.told("idle for 0.3 s"))
        upstream.close()

"""Which upstreams a TLS client has, by the name that it asks for; its bytes are as they came."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time

import pytest

from sockproxy.proxy.options import Route
from sockproxy.proxy.pool import Pool
from sockproxy.worker.rules import Rules
from tests.support.pattern import Pattern
from tests.support.proxy_thread import Running, has_refused, host
from tests.support.scale import patience
from tests.support.sockets import eventually, receive


def hello_of(name, **context):
    """The first bytes of a client of OpenSSL that asks for it."""
    made = ssl.create_default_context()
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    for key, value in context.items():
        setattr(made, key, value)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = made.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def in_records(hello, size):
    """The same message in records of so many bytes."""
    message = hello[5:]
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x03" + len(part).to_bytes(2, "big") + part for part in parts)


def routed(servers, *, rest=True, **options):
    """To the first: app.example; to the second what is below example; the rest to the third."""
    routes = (
        Route(("*.example", "*.deep.example"), Pool((host(servers[1]),))),
        Route(("app.example", "other.test"), Pool((host(servers[0]),))),
    )
    rules = Rules(only_routes=not rest, hello_timeout=options.pop("hello_timeout", patience(10)))
    hosts = [host(servers[2])] if rest else []
    return Running(hosts, routes=routes, rules=rules, **options)


def served(running, servers, first, steps=None):
    """By which it is that a client is served which says this first; all of it arrives, and the
    rest, either way."""
    with running.connect() as client:
        for at in range(0, len(first), steps or len(first)):
            client.sendall(first[at : at + (steps or len(first))])
            time.sleep(0.001 if steps else 0)
        number = running.ready_of(servers)
        upstream, _ = servers[number].accept()
        upstream.settimeout(patience(10))
        rest = Pattern(3).at(0, 50_000)
        with upstream:
            client.sendall(rest)
            client.shutdown(socket.SHUT_WR)
            assert receive(upstream, len(first) + 50_000) == first + rest
            assert upstream.recv(1) == b""
            upstream.sendall(rest)
            assert receive(client, 50_000) == rest
        return number


@pytest.mark.parametrize(
    ("name", "number"),
    [("app.example", 0), ("APP.Example", 0), ("other.test", 0), ("x.example", 1),
     ("a.b.app.example", 1), ("deep.example", 1), ("example", 2), ("test", 2),
     ("xapp.example.org", 2), (None, 2)],
)  # fmt: skip
def test_by_its_name(servers, name, number):
    with routed(servers) as running:
        assert served(running, servers, hello_of(name)) == number


@pytest.mark.parametrize("steps", [1, 40])
@pytest.mark.parametrize("size", [1, 33, 5000])
def test_in_pieces_and_over_several_records(servers, steps, size):
    with routed(servers) as running:
        assert served(running, servers, in_records(hello_of("app.example"), size), steps) == 0


def test_old_versions_of_tls_ask_as_well(servers):
    hello = hello_of("app.example", maximum_version=ssl.TLSVersion.TLSv1_2)
    with routed(servers) as running:
        assert served(running, servers, hello) == 0


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\n", b"\x80\x2e\x01\x00\x02", b"\0", b"SSH-2"])
def test_what_is_no_tls_goes_where_the_rest_does(servers, first):
    with routed(servers) as running:
        assert served(running, servers, first) == 2


def is_reset(client):
    client.settimeout(patience(10))
    with pytest.raises(ConnectionResetError):
        client.recv(1)


@pytest.mark.parametrize("first", [hello_of("unknown.test"), hello_of(None), b"GET /"])
def test_without_a_rest_others_are_reset(servers, first):
    with routed(servers, rest=False) as running:
        with running.connect() as client:
            client.sendall(first)
            is_reset(client)
        has_refused(running, {"no route": 1})
        assert served(running, servers, hello_of("app.example")) == 0


def test_a_hello_that_is_none_is_reset(servers):
    hello = hello_of("app.example")
    with routed(servers) as running:
        for first in (hello[:5] + b"\x02" + hello[6:], hello[:1] + b"\x09" + hello[2:],
                      hello[:6] + b"\xff\xff\xff" + hello[9:]):  # fmt: skip
            with running.connect() as client:
                client.sendall(first)
                is_reset(client)
        has_refused(running, {"bad hello": 3})


@pytest.mark.parametrize("size", [0, 1, 100])
def test_one_that_says_no_more_is_reset_in_time(servers, size):
    with routed(servers, hello_timeout=0.2) as running:
        with running.connect() as client:
            client.sendall(hello_of("app.example")[:size])
            is_reset(client)
        has_refused(running, {"no hello": 1})


def test_an_end_behind_the_hello_is_passed_on(servers):
    hello = hello_of("app.example")
    with routed(servers) as running, running.connect() as client:
        client.sendall(hello)
        client.shutdown(socket.SHUT_WR)
        upstream, _ = servers[0].accept()
        with upstream:
            assert receive(upstream, len(hello)) == hello
            assert upstream.recv(1) == b""


def test_a_route_has_its_turns_and_is_told_of_in_the_services_name(servers):
    routes = (Route(("app.example",), Pool((host(servers[0]), host(servers[1])))),)
    with Running([host(servers[2])], name="edge", routes=routes) as running:
        hello = hello_of("app.example")
        assert {served(running, servers, hello) for _ in range(4)} == {0, 1}
        eventually(lambda: running.proxy.clients.count == 0)
        with running.connect() as client:
            client.sendall(hello)
            eventually(lambda: running.proxy.worker.live)
            (row,) = running.proxy.worker.read().live
            assert running.proxy.service_of(row.service).options.name == "edge"


@pytest.mark.parametrize("place", [1, 5, 100])
def test_an_urgent_byte_in_a_hello_is_refused_at_once(servers, place):
    hello = hello_of("app.example")
    with routed(servers, hello_timeout=1000) as running:
        with running.connect() as client:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                client.sendall(hello[:place])
                client.send(hello[place : place + 1], socket.MSG_OOB)
                client.sendall(hello[place + 1 :])
            has_refused(running, {"bad hello": 1})
        eventually(lambda: running.told("an urgent byte is in its first words"))


def test_first_words_are_heard_where_the_socket_was_made_to_wait_for_more(servers):
    """SO_RCVLOWAT of a socket that another has opened is handed down to its clients."""
    with routed(servers) as running:
        (sock,) = running.proxy.services[0].listeners
        fresh = sock.dup()
        fresh.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 100_000)
        listeners = running.proxy.services[0].new_listeners()
        listeners.put("there", [fresh], foreign=True)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1
        assert served(running, servers, hello_of("app.example")) == 0
        listeners.close()


def test_routes_to_the_same_upstreams_share_what_is_known_of_them(servers):
    one, other = Pool((host(servers[0]),)), Pool((host(servers[1]),))
    routes = (Route(("a", "b"), one), Route(("c",), other), Route(("d",), one), Route(("e",), one))
    with Running(other.upstreams, routes=routes) as running:
        (service,) = running.proxy.services
        assert len(service.parts) == 2
        numbers = [served(running, servers, hello_of(name)) for name in "abcde"]
        assert numbers == [0, 0, 1, 0, 0]
        assert served(running, servers, b"no TLS") == 1

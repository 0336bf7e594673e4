"""A splice of each address family, and between hosts: with a parser, and without."""

from __future__ import annotations

import contextlib
import socket

import pytest

import sockproxy
from tests.support.scale import patience
from tests.support.sockets import receive, tcp_pair

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("splice")]

OPTIONS = {"parser": {}, "verdict-only": {"parser": False, "force": True}}


@pytest.fixture(params=OPTIONS)
def splicer(request):
    with sockproxy.Splicer(pairs=4, eager=True, **OPTIONS[request.param]) as splicer:
        assert splicer.accelerated, splicer.why_not
        yield splicer


def mapped_pair():
    """The server's end has an IPv4 address in an IPv6 socket."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        client = socket.create_connection(("127.0.0.1", listener.getsockname()[1]), 20)
        server, _ = listener.accept()
    assert server.getpeername()[0] == "::ffff:127.0.0.1"
    server.settimeout(patience(20))
    return client, server


PAIRS = {
    "IPv4": tcp_pair,
    "IPv6": lambda: tcp_pair("::1"),
    "v4-mapped": mapped_pair,
}


def converses(splicer, client, a, server, b):
    """Requests and answers through the splice of a and b, all moved by the kernel."""
    splice = splicer.splice(a, b)
    with client, server:
        for number in range(50):
            for source, target, mark in ((client, server, b"?"), (server, client, b"!")):
                text = b"%d%s" % (number, mark) * (1 + 37 * number % 400)
                source.sendall(text)
                assert receive(target, len(text)) == text
        stats = splice.stats()
        assert min(stats.forward.redirected, stats.backward.redirected) > 0
        assert stats.forward.pumped + stats.backward.pumped == 0


@pytest.mark.parametrize("one", PAIRS)
@pytest.mark.parametrize("other", PAIRS)
def test_loopback(splicer, one, other):
    converses(splicer, *PAIRS[one](), *PAIRS[other]())


def test_between_namespaces(splicer, two_namespaces):
    """Client and server are remote: behind a veth, with an address of their own."""
    far, near = two_namespaces
    with contextlib.ExitStack() as stack:
        listener = near.socket(lambda: socket.create_server(("10.99.0.2", 0)))
        stack.enter_context(listener)
        client = far.socket(lambda: socket.create_connection(listener.getsockname(), 20))
        a, _ = listener.accept()
        listener = far.socket(lambda: socket.create_server(("10.99.0.1", 0)))
        stack.enter_context(listener)
        b = near.socket(lambda: socket.create_connection(listener.getsockname(), 20))
        server, _ = listener.accept()
        server.settimeout(patience(20))
        converses(splicer, client, a, server, b)

"""Short-circuit by the library: the same conditions as a proxy's, and fresh sockets."""

from __future__ import annotations

import socket

import pytest

import sockproxy
from sockproxy.cgroup import create_owned
from tests.support.bypass import converse
from tests.support.scale import patience
from tests.support.sockets import eventually, receive, seen_waiting

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass", "splice")]


class Between:
    """A program in a cgroup of its own that splices; its clients and servers are in the bypass."""

    def __init__(self, group):
        self._group = group
        self.cgroup = create_owned("between")

    def connect(self):
        """(client, its splicer's side, splicer's side, server)."""
        self.cgroup.enter()
        front = socket.create_server(("127.0.0.1", 0))
        out = socket.socket()
        self._group.enter()
        with front, socket.create_server(("127.0.0.1", 0)) as server:
            client = socket.create_connection(front.getsockname(), patience(20))
            inner, _ = front.accept()
            out.connect(server.getsockname())
            far, _ = server.accept()
        for sock in (client, far):
            seen_waiting(sock).settimeout(patience(20))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client, inner, out, far

    def close(self):
        self.cgroup.remove()


@pytest.fixture
def between(bypassed):
    made = Between(bypassed)
    yield made
    made.close()


def test_a_conversation_goes_past_the_splice(between):
    with sockproxy.Splicer(short_circuit=between.cgroup.path) as splicer:
        client, inner, out, server = between.connect()
        splice = splicer.splice(inner, out)
        with client, server:
            assert not splice.short_circuited
            assert splice.stats().why_not_short_circuited == "no conversation so far"
            converse(client, server, times=50)
            stats = splice.stats()
            assert splice.short_circuited, stats.why_not_short_circuited
            assert stats.forward.short_circuited > 30
            assert stats.backward.short_circuited > 30
            assert stats.forward.short_circuited_messages == stats.forward.short_circuited
            client.close()
            assert server.recv(1) == b""
        last = splice.wait(patience(20))
        assert last.outcome == "finished"
        assert (last.forward.moved, last.backward.moved) == (50, 50)


def test_bytes_that_were_read_and_go_first_are_no_obstacle(between):
    with sockproxy.Splicer(short_circuit=between.cgroup.path) as splicer:
        client, inner, out, server = between.connect()
        with client, server:
            client.sendall(b"hello")
            assert inner.recv(5) == b"hello"
            splice = splicer.splice(inner, out, already_read=(b"hello", b""))
            assert receive(server, 5) == b"hello"
            converse(client, server, times=50)
            assert splice.stats().forward.short_circuited > 30


def test_sockets_that_were_in_use_are_not_short_circuited(between):
    """What the client sent and what the server has read cannot be told by their counts."""
    with sockproxy.Splicer(short_circuit=between.cgroup.path) as splicer:
        client, inner, out, server = between.connect()
        with client, server:
            client.sendall(b"CONNECT")
            assert inner.recv(7) == b"CONNECT"
            splice = splicer.splice(inner, out)
            converse(client, server, times=50)
            assert splice.stats().why_not_short_circuited == "its sockets were in use before"
            assert splice.stats().forward.short_circuited == 0


def test_a_drop_ends_it_before_it_drops(between):
    with sockproxy.Splicer(short_circuit=between.cgroup.path) as splicer:
        client, inner, out, server = between.connect()
        splice = splicer.splice(inner, out)
        with client, server:
            converse(client, server, times=50)
            assert splice.short_circuited
            client.sendall(b"!")  # as long as those before: by TCP it would be dropped
            splice.drop("forward")
            eventually(lambda: not splice.short_circuited)
            before = splice.stats().forward
            assert receive(server, 1) == b"!"
            client.sendall(b"dropped")
            server.sendall(b"b")
            assert receive(client, 1) == b"b"
            client.shutdown(socket.SHUT_WR)
            assert server.recv(10) == b""
            after = splice.stats().forward
            assert after.short_circuited == before.short_circuited
            assert after.dropped == 7


def test_it_takes_the_parser():
    with pytest.raises(sockproxy.UsageError):
        sockproxy.Splicer(relay=True, short_circuit="/sys/fs/cgroup")

"""What must stay plain TCP, or is no TCP at all: it works as without us, and is not touched."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import pytest

import sockproxy
from sockproxy.bpf.splice import SockmapKernel
from sockproxy.net.tcp import socket_cookie
from tests.support.bypass import ALL_READERS, NAME, connections, converse, status
from tests.support.bypass import sockproxy as run
from tests.support.scale import patience
from tests.support.sockets import receive, tcp_pair

pytestmark = [pytest.mark.root, pytest.mark.bpf]

TCP_ULP = 31


def nothing_seen():
    """No socket came near the bypass."""
    counts = status()
    return (counts["live"], counts["enrolled"], counts["bypassed_messages"]) == (0, 0, 0)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["v4", "v6"])
def test_udp(bypassed, family):
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    with contextlib.ExitStack() as stack:
        one, other = (stack.enter_context(socket.socket(family, socket.SOCK_DGRAM)) for _ in "ab")
        for each in (one, other):
            each.settimeout(patience(20))
            each.bind((host, 0))
        one.connect(other.getsockname())
        other.connect(one.getsockname())
        for number in range(50):
            for source, target in ((one, other), (other, one)):
                source.send(b"%d" % number)
                assert target.recv(99) == b"%d" % number
        assert nothing_seen()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM])
def test_unix(bypassed, kind):
    one, other = socket.socketpair(type=kind)
    with one, other:
        for each in (one, other):
            each.settimeout(patience(20))
        converse(one, other, times=50)
        assert nothing_seen()


def test_connections_older_than_the_attach(group):
    one, other = tcp_pair()
    with one, other:
        converse(one, other)
        run("attach", NAME, "--cgroup", group.path, *ALL_READERS)
        try:
            converse(one, other, times=50)
            assert nothing_seen()
            assert not connections().keys() & {socket_cookie(one), socket_cookie(other)}
            third, fourth = tcp_pair()
            with third, fourth:
                converse(third, fourth, times=50)
                converse(one, other, times=50)
                assert connections().keys() == {socket_cookie(third), socket_cookie(fourth)}
        finally:
            run("detach", NAME)
        converse(one, other)


@pytest.fixture
def tls():
    """Two connected sockets, of which the first has the kernel's TLS."""
    one, other = tcp_pair()
    with one, other:
        try:
            one.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")
        except FileNotFoundError:
            pytest.skip("the kernel has no kTLS")
        yield one, other


def test_kernel_tls_and_a_splice(tls):
    """A socket of another protocol is not put into a sockmap: user space relays."""
    with sockproxy.Splicer(pairs=2, eager=True) as splicer:
        client, a = tcp_pair()
        with client:
            b, server = tls
            splice = splicer.splice(a, b)
            client.sendall(b"request")
            assert receive(server, 7) == b"request"
            server.sendall(b"response")
            assert receive(client, 8) == b"response"
            assert splice.stats().forward.redirected == 0


@pytest.mark.skipif(not Path("/proc/sys/net/mptcp").exists(), reason="the kernel has no MPTCP")
@pytest.mark.parametrize("parser", [True, False], ids=["parser", "verdict-only"])
def test_multipath_is_not_enrolled(group, parser):
    kernel = SockmapKernel(8, parser=parser)
    try:
        fd = os.open(group.path, os.O_DIRECTORY)
        try:
            kernel.watch_cgroup(fd)
        finally:
            os.close(fd)
        with socket.socket(proto=socket.IPPROTO_MPTCP) as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            with socket.socket(proto=socket.IPPROTO_MPTCP) as one:
                one.connect(listener.getsockname())
                other, _ = listener.accept()
                with other:
                    for each in (one, other):
                        each.settimeout(patience(20))
                    converse(one, other, times=20)
        counts = kernel.enrolments()
        assert (counts["enrolled"], counts["multipath"]) == (0, 2)
    finally:
        kernel.close()


def test_fast_open_with_data_and_a_splice(inside):
    """What came with the SYN is there before the splice, and comes first."""

    def serve():
        listener = socket.socket()
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(patience(20))
        return listener

    inside.tune(tcp_fastopen=3)
    with inside.socket(serve) as listener, sockproxy.Splicer(pairs=4, eager=True) as splicer:
        for _ in range(3):  # the first one gets the cookie
            client = inside.socket(socket.socket)
            client.sendto(b"early", socket.MSG_FASTOPEN, listener.getsockname())
            a, _ = listener.accept()
            b, server = tcp_pair()
            splice = splicer.splice(a, b)
            with client, server:
                client.settimeout(patience(20))
                client.sendall(b" and late")
                assert receive(server, 14) == b"early and late"
                server.sendall(b"answer")
                assert receive(client, 6) == b"answer"
                assert splice.stats().forward.moved == 14

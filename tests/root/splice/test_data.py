"""What a splice does with streams however they are cut and sent: with a parser, and without."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest

import sockproxy
from sockproxy.bpf.abi import Action
from sockproxy.bpf.splice import SockmapKernel
from sockproxy.net.tcp import socket_cookie
from tests.support.calls import meanwhile
from tests.support.cuts import (
    BLOCKING,
    CUTS,
    KINDS,
    SEED,
    Reader,
    send_cut,
    send_stream,
    total,
)
from tests.support.pattern import Checker
from tests.support.scale import patience, scaled
from tests.support.sockets import eventually, receive, spliced, tcp_pair

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("splice")]

MIB = 1 << 20
SMALL = 4096  # of a socket's buffers; the kernel doubles it
OPTIONS = {"parser": {}, "verdict-only": {"parser": False, "force": True}}


@pytest.fixture(scope="module", params=OPTIONS)
def splicer(request):
    """The kernel moves all that it can, from the first byte."""
    with sockproxy.Splicer(pairs=8, eager=True, **OPTIONS[request.param]) as splicer:
        assert splicer.accelerated, splicer.why_not
        splicer.path = request.param
        yield splicer


def ends_rightly(splicer):
    """Whether the end of a stream is exact. Without a parser the verdict redirects a FIN's
    empty skb too; sent behind our own FIN it fails, and the splice resets both ways."""
    return splicer.path == "parser"


@pytest.mark.parametrize("blocking", BLOCKING)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", CUTS)
def test_redirect(splicer, cut, kind, blocking):
    with spliced(splicer) as (client, server, splice):
        with Reader(server, total(cut)):
            send_cut(client, cut, kind, blocking=BLOCKING[blocking])
        server.sendall(b"answer")
        assert receive(client, 6) == b"answer"
        forward = splice.stats().forward
        assert (forward.moved, forward.lost) == (total(cut), 0)
        assert forward.redirected > 0
        if ends_rightly(splicer):
            client.shutdown(socket.SHUT_WR)
            assert server.recv(1) == b""


def small_pair():
    """With buffers small from the start."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        one.connect(listener.getsockname())
        other, _ = listener.accept()
    one.settimeout(patience(20))
    other.settimeout(patience(20))
    return one, other


def test_the_target_is_full(splicer):
    """The target can send almost nothing on, as its reader rests again and again."""
    size = scaled(2 * MIB, 256 << 10)
    client, a = tcp_pair()
    b, server = small_pair()
    splice = splicer.splice(a, b)
    with client, server, meanwhile(send_stream, client, size):
        checker = Checker(SEED)
        while checker.offset < size:
            if checker.offset % (size // 8) < SMALL:
                time.sleep(0.02)  # so that it fills up
            part = server.recv(SMALL)
            assert part, f"end of stream after {checker.offset} of {size} bytes"
            checker.feed(part)
        forward = splice.stats().forward
        assert (forward.moved, forward.lost) == (size, 0)
        assert forward.redirected > 0


@pytest.mark.parametrize("cut", CUTS)
def test_drop(splicer, cut):
    with spliced(splicer) as (client, server, splice):
        client.sendall(b"before")
        assert receive(server, 6) == b"before"
        splice.drop("forward")
        send_cut(client, cut, "send", blocking=True)
        eventually(lambda: splice.stats().forward.dropped == total(cut))
        server.sendall(b"still here")
        assert receive(client, 10) == b"still here"
        if ends_rightly(splicer):
            client.shutdown(socket.SHUT_WR)
            assert server.recv(1) == b""


@contextlib.contextmanager
def passing():
    """Two ends, of which a verdict passes on to the second what came for it."""
    kernel = SockmapKernel(2, parser=False)
    one, other = tcp_pair()
    cookie = socket_cookie(other)
    try:
        with one, other:
            slot = kernel.enrol(other, cookie)
            kernel.direction(slot).action = Action.PASS
            kernel.start(slot, other.fileno())
            yield one, other, kernel.direction(slot)
            kernel.release(slot, cookie)
    finally:
        kernel.close()


@pytest.mark.parametrize("blocking", BLOCKING)
@pytest.mark.parametrize("cut", CUTS)
def test_pass_without_a_parser(cut, blocking):
    with passing() as (one, other, direction):
        with Reader(other, total(cut)):
            send_cut(one, cut, "send", blocking=BLOCKING[blocking])
        one.shutdown(socket.SHUT_WR)
        assert other.recv(1) == b""
        assert direction.passed_bytes == total(cut)

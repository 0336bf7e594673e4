"""No descriptor to be had, of the process's or of the system's: what can wait waits."""

from __future__ import annotations

import contextlib
import errno
import itertools
import resource
import socket
import threading

import pytest

import sockproxy
from sockproxy.proxy.control import Control
from sockproxy.rundir import take_name
from sockproxy.worker import descriptors
from sockproxy.worker.door import Limits
from sockproxy.worker.engine import Engine
from tests.support.fake_system import Scarce, calls
from tests.support.pattern import Checker, Pattern
from tests.support.proxy import run_sockproxy
from tests.support.proxy_thread import Running, host
from tests.support.sockets import eventually, push_until_blocked, receive, spliced, tcp_pair

KINDS = pytest.mark.parametrize("number", sorted(descriptors.SHORTAGE), ids=errno.errorcode.get)


# -- pipes --------------------------------------------------------------------------------


@pytest.fixture
def pipes(request):
    """The pipes that are made are these, which cannot be had."""
    scarce = Scarce(getattr(request, "param", errno.EMFILE))
    with calls(pipe2=scarce):
        yield scarce


def exchange(client, server, size):
    """A stream each way at once, every byte checked, and both ends."""

    def send(sock, seed):
        pattern = Pattern(seed)
        for offset in range(0, size, 1 << 20):
            sock.sendall(pattern.at(offset, min(1 << 20, size - offset)))
        sock.shutdown(socket.SHUT_WR)

    threads = [threading.Thread(target=send, args=end) for end in ((client, 1), (server, 2))]
    for thread in threads:
        thread.start()
    for sock, seed in ((client, 2), (server, 1)):
        checker = Checker(seed)
        while part := sock.recv(1 << 18):
            checker.feed(part)
        assert checker.offset == size
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("pipes", sorted(descriptors.SHORTAGE), indirect=True)
def test_a_stream_without_a_pipe(pipes):
    with sockproxy.Splicer(relay=True) as splicer, spliced(splicer) as (client, server, splice):
        exchange(client, server, 20_000_000)
        assert splice.wait().outcome == "finished"
    assert pipes.failures


def test_a_pipe_comes_and_goes(pipes):
    turn = itertools.count()
    pipes.fails = lambda *_: next(turn) % 3
    with sockproxy.Splicer(relay=True) as splicer, contextlib.ExitStack() as stack:
        pairs = [stack.enter_context(spliced(splicer)) for _ in range(6)]
        threads = [threading.Thread(target=exchange, args=(*each[:2], 5_000_000)) for each in pairs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for *_, splice in pairs:
            assert splice.wait().outcome == "finished"
    assert pipes.failures > 3


def test_a_stalled_stream_without_a_pipe_is_dropped(pipes):
    with sockproxy.Splicer(relay=True) as splicer, spliced(splicer) as (client, server, splice):
        taken = push_until_blocked(client, bytes(1 << 20), quiet=0.2)
        splice.drop("forward")
        client.sendall(bytes(1 << 20))
        client.shutdown(socket.SHUT_WR)
        arrived = 0
        while part := server.recv(1 << 20):
            arrived += len(part)
        server.close()
        stats = splice.wait().forward
        assert stats.pumped == arrived
        assert stats.pumped + stats.dropped == taken + (1 << 20)


def test_no_more_pipes_than_allowed():
    """Those that have none copy."""
    made = []

    def pipe2(real, *arguments):
        made.append(1)
        return real(*arguments)

    with calls(pipe2=pipe2), contextlib.ExitStack() as stack:
        engine = Engine(Limits(most_pipes=2), lambda _event: None)
        thread = threading.Thread(target=engine.loop.run)
        thread.start()
        stack.callback(engine.close)
        stack.callback(thread.join)
        stack.callback(engine.loop.stop)
        for _ in range(5):
            (client, a), (server, b) = tcp_pair(), tcp_pair()
            for sock in (client, server):
                stack.enter_context(sock)
            for sock in (a, b):
                sock.setblocking(False)
            engine.loop.call(lambda a=a, b=b: engine.add(a, b))
            push_until_blocked(client, bytes(1 << 20), quiet=0.1)
        assert len(made) == 2


# -- sockets ------------------------------------------------------------------------------


@KINDS
def test_accepting_waits_and_says_so_once(number):
    accept = Scarce(number)
    accept.fails = lambda *_: False
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        calls(accept4=accept),
        Running([host(server)]) as running,
    ):
        running.serve_one(server)
        accept.fails = lambda *_: True
        client = running.connect()
        eventually(lambda: accept.failures > 3)
        accept.fails = lambda *_: False
        with client, server.accept()[0] as upstream:
            client.sendall(b"served")
            assert receive(upstream, 6) == b"served"
        running.has_told("accept: ")


@pytest.fixture
def sockets():
    """The sockets that are made towards an upstream are these."""
    scarce = Scarce(errno.EMFILE)
    with calls(socket=scarce):
        yield scarce


def test_connecting_waits(sockets):
    with socket.create_server(("127.0.0.1", 0)) as server, Running([host(server)]) as running:
        sockets.fails = lambda *_: sockets.failures < 4
        running.serve_one(server)
        assert sockets.failures == 4
        assert running.proxy.clients.refused == 0


def test_connecting_that_fails_at_once_waits():
    """connect(2) takes memory as well: tcp_connect() has ENOBUFS for a SYN that it cannot make."""
    poor = Scarce(errno.ENOBUFS)
    poor.fails = lambda *_: poor.failures < 3
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        calls(connect=poor),
        Running([host(server)]) as running,
    ):
        running.serve_one(server)
        assert poor.failures == 3
        assert running.proxy.clients.refused == 0


def test_connecting_waits_no_longer_than_the_time_out(sockets):
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        Running([host(server)], connect_timeout=0.3) as running,
        running.connect() as client,
        pytest.raises(ConnectionResetError),
    ):
        client.recv(1)
    eventually(lambda: running.told("too many open files"))
    assert sockets.failures > 1


def test_a_client_that_waits_is_let_go_at_the_end(sockets):
    with socket.create_server(("127.0.0.1", 0)) as server:
        with Running([host(server)]) as running:
            client = running.connect()
            eventually(lambda: sockets.failures)
        with client, pytest.raises(ConnectionResetError):
            client.recv(1)


@KINDS
def test_an_asker_waits(monkeypatch, number):
    with socket.create_server(("127.0.0.1", 0)) as server, Running([host(server)]) as running:
        control = Control(running.proxy)
        control.hold(take_name(running.proxy.options.name))
        scarce = Scarce(number)
        scarce.fails = lambda _sock: scarce.failures < 5
        real = socket.socket.accept
        monkeypatch.setattr(
            socket.socket,
            "accept",
            lambda sock: scarce(real, sock) if sock is control._listener else real(sock),
        )
        running.proxy.worker.loop.call(control.open)
        try:
            eventually(lambda: "unit" in run_sockproxy("status").stdout)
        finally:
            control.close()
        assert scarce.failures == 5


# -- how many ------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [16, 64, 300, 1024, 20_000, 1_000_000])
@pytest.mark.parametrize("asked", [1, 100, 4096, 500_000])
def test_what_a_limit_allows(monkeypatch, limit, asked):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    monkeypatch.setattr(resource, "setrlimit", raise_to(limit))
    allowed = descriptors.allowance(asked)
    assert 1 <= allowed.connections <= asked
    own = limit - 2 * allowed.connections - 2 * allowed.pipes
    assert own >= min(64, limit // 2) - 1
    if limit >= allowed.need:
        assert allowed.connections == asked
        assert allowed.pipes >= 2 * asked


def raise_to(most):
    def setrlimit(_, limits):
        if limits[1] > most:
            raise ValueError("not allowed to raise maximum limit")

    return setrlimit

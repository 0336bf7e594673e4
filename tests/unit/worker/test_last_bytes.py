"""The last bytes and the kind of the end, where several things have come before one looks."""

from __future__ import annotations

import errno
import itertools
import os
import socket
import threading

import pytest

import sockproxy
from sockproxy.proxy import control
from sockproxy.proxy.control import Control
from sockproxy.rundir import take_name
from sockproxy.worker.door import Limits
from sockproxy.worker.engine import Engine
from tests.support.fake_kernel import FakeKernel
from tests.support.fake_system import Scarce, calls
from tests.support.proxy import run_sockproxy
from tests.support.proxy_thread import Running, host
from tests.support.sockets import eventually, receive, reset, tcp_pair
from tests.unit.worker.test_engine import Running as Worker


@pytest.fixture
def relay():
    with sockproxy.Splicer(relay=True) as splicer:
        yield splicer


def all_of(sock):
    """What it gives, and how it ends."""
    got = b""
    try:
        while part := sock.recv(1 << 16):
            got += part
    except ConnectionResetError:
        return got, "RST"
    return got, "FIN"


# -- the kind of the end ----------------------------------------------------------------


def test_a_reset_behind_a_fin(relay):
    """The reader is told the end of the stream, as by TCP; the reset is for who writes."""
    for _ in range(50):
        (client, a), (server, b) = tcp_pair(), tcp_pair()
        client.sendall(b"all of it")
        client.shutdown(socket.SHUT_WR)
        reset(client)
        splice = relay.splice(a, b)
        with server:
            assert all_of(server) == (b"all of it", "FIN")
            assert splice.wait(20).outcome != "finished"
            with pytest.raises(ConnectionError):
                for _ in range(100):
                    server.sendall(bytes(1000))


def test_a_reset_that_was_told_before_is_no_fin(relay):
    """connect() has seen the error, and the other end has ended its sending."""
    for said in (b"", b"all of it"):
        (client, a), (server, b) = tcp_pair(), tcp_pair()
        server.sendall(said)
        reset(server)
        assert b.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET
        client.shutdown(socket.SHUT_WR)
        splice = relay.splice(a, b)
        with client:
            assert all_of(client) == (said, "RST")
            assert splice.wait(20).outcome != "finished"


@pytest.mark.parametrize("had_fin", [False, True])
def test_an_enrolled_socket_is_asked_about_its_fin(had_fin):
    """Of two sends of redirected bytes one may take ECONNRESET, and the next is told EPIPE."""
    kernel = FakeKernel()
    kernel.had_fin = had_fin
    with Worker(kernel) as run:
        run.client.sendall(b"x")
        receive(run.server, 1)
        reset(run.client)
        assert all_of(run.server) == (b"", "FIN" if had_fin else "RST")


def test_a_splice_is_done_when_its_splicer_closes_at_once():
    for _ in range(100):
        (client, a), (server, b) = tcp_pair(), tcp_pair()
        with client, server, sockproxy.Splicer(relay=True) as splicer:
            splice = splicer.splice(a, b)
            threading.Thread(target=lambda splice=splice: splice.done()).start()
            splicer.close()
            assert splice.wait(5).outcome == "closed"
            assert all_of(client) == (b"", "RST")


# -- what can fail ----------------------------------------------------------------------


@pytest.mark.parametrize("place", [1, 2])
def test_a_pair_that_cannot_be_watched_is_none(place):
    engine = Engine(Limits(), pytest.fail)
    (client, a), (server, b) = tcp_pair(), tcp_pair()
    tries, scarce = itertools.count(1), Scarce(errno.ENOSPC)
    scarce.fails = lambda _epoll, add, _fd, _event: add == 1 and next(tries) == place
    with client, server, a, b:
        with (
            calls(epoll_ctl=scarce),
            pytest.raises(OSError, match=os.strerror(errno.ENOSPC)),
        ):
            engine.add(a, b)
        assert not engine.live
        engine.loop.watch(a.fileno(), 0, pytest.fail)  # it is not watched
        engine.loop.unwatch(a.fileno())
        engine.close()


def test_status_when_no_thread_can_be_started(monkeypatch):
    """It is answered when one can; the proxy goes on."""
    with socket.create_server(("127.0.0.1", 0)) as listener, Running([host(listener)]) as running:
        answers = Control(running.proxy)
        answers.hold(take_name(running.proxy.options.name))
        failures = []

        class Scarce(threading.Thread):
            def start(self):
                if len(failures) < 3:
                    failures.append(1)
                    raise RuntimeError("can't start new thread")
                super().start()

        monkeypatch.setattr(control.threading, "Thread", Scarce)
        try:
            running.proxy.worker.loop.call(answers.open)
            eventually(lambda: run_sockproxy("status").returncode == 0)
        finally:
            answers.close()
        assert failures

"""The last bytes and the kind of the end, where several things have come before one looks."""

from __future__ import annotations

import errno
import os
import socket
import threading

import pytest

import sockproxy
from sockproxy.net.tcp import EVERY_END, set_options
from sockproxy.proxy import control
from sockproxy.proxy.control import Control
from sockproxy.worker.door import Limits
from sockproxy.worker.end import End
from sockproxy.worker.engine import Engine
from sockproxy.worker.pump import Pipes, Pump
from sockproxy.worker.table import DirectionRow
from tests.support.fake_kernel import FakeKernel
from tests.support.proxy import run_sockproxy
from tests.support.proxy_thread import Running, host
from tests.support.sockets import eventually, receive, reset, tcp_pair


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


# -- the pump ---------------------------------------------------------------------------


def test_an_urgent_byte_and_what_is_behind_it_before_a_reset():
    """splice(2) stops at the mark, where it tells of the reset; recv(2) goes on."""
    (client, source), (server, target) = tcp_pair(), tcp_pair()
    set_options(source, EVERY_END)
    with client, source, server, target:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        client.sendall(b"before")
        client.send(b"!", socket.MSG_OOB)
        client.sendall(b"behind")
        reset(client)
        for sock in (source, target):
            sock.setblocking(False)
        pipes, row = Pipes(), DirectionRow()
        pump = Pump(pipes, source, target, 1 << 20, row)  # has not heard of the urgent byte
        while pump.run(4) or not pump.at_end:
            pass
        assert receive(server, 13) == b"before!behind"
        assert (row.pumped, pump.failure) == (13, errno.ECONNRESET)
        pump.close()
        pipes.close()


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


@pytest.mark.parametrize("said", [False, True])
@pytest.mark.parametrize("had_fin", [False, True])
def test_an_enrolled_socket_is_asked_about_its_fin(had_fin, said):
    """Of two sends of redirected bytes one may take ECONNRESET, and the next is told EPIPE."""
    kernel = FakeKernel()
    kernel.had_fin = had_fin
    one, other = tcp_pair()
    with one, other:
        end = End(one)
        end.fail("reset by peer", had_fin=said)
        assert end.had_fin == said
        end.enrol(kernel)
        end.fail("reset by peer", had_fin=said)
        assert end.had_fin == had_fin
        end.leave()


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


def refuse(number):
    def fails(*_arguments, **_options):
        raise OSError(number, os.strerror(number))

    return fails


def test_a_pair_that_cannot_be_watched_is_none(monkeypatch):
    engine = Engine(Limits(), pytest.fail)
    watch = engine.loop.watch
    (client, a), (server, b) = tcp_pair(), tcp_pair()
    with client, server, a, b:
        monkeypatch.setattr(
            engine.loop,
            "watch",
            lambda fd, *rest: watch(fd, *rest) if fd == a.fileno() else refuse(errno.ENOSPC)(),
        )
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            engine.add(a, b)
        assert not engine.live
        monkeypatch.undo()
        engine.loop.watch(a.fileno(), 0, pytest.fail)  # it is not watched
        engine.loop.unwatch(a.fileno())
        engine.close()


def test_status_when_no_thread_can_be_started(monkeypatch):
    """It is answered when one can; the proxy goes on."""
    with socket.create_server(("127.0.0.1", 0)) as listener, Running([host(listener)]) as running:
        answers = Control(running.proxy)
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

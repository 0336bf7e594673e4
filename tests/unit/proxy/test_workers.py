"""Several workers of one proxy: their threads, and what one of them finds that is for all."""

from __future__ import annotations

import errno
import socket
import threading
import time
from contextlib import closing

import pytest

from sockproxy.errors import SockproxyError
from sockproxy.proxy.clients import Clients
from sockproxy.proxy.options import ProxyOptions, ServiceOptions
from sockproxy.proxy.pool import parse_upstreams
from sockproxy.proxy.proxy import Proxy
from sockproxy.proxy.workers import Workers
from sockproxy.worker.door import Limits
from sockproxy.worker.engine import Engine
from tests.support.fake_kernel import FakeKernel
from tests.support.logs import Lines
from tests.support.proxy_thread import LISTEN, Running, host
from tests.support.scale import patience
from tests.support.servers import free_port
from tests.support.sockets import eventually


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.settimeout(patience(10))
        yield sock


def shares(running):
    return [each.live.pairs for each in running.proxy.worker.sums_of_each()]


def test_events_are_told_on_the_first_ones_thread(monkeypatch, listener):
    told = []

    def note(_clients, event):
        told.append((event.stats.number, threading.current_thread()))

    monkeypatch.setattr(Clients, "on_event", note)
    with Running([host(listener)], workers=3) as running:
        pairs = [(running.connect(), listener.accept()[0]) for _ in range(6)]
        eventually(lambda: shares(running) == [2, 2, 2])
        rows = running.proxy.worker.read().live
        assert [row.number for row in rows] == [1, 2, 3, 4, 5, 6]
        for client, upstream in pairs:
            client.close()
            upstream.close()
        eventually(lambda: len(told) == 6)
        assert [each.ended.pairs for each in running.proxy.worker.sums_of_each()] == [2, 2, 2]
    assert sorted(number for number, _ in told) == [1, 2, 3, 4, 5, 6]
    assert {thread for _, thread in told} == {running.thread}


def test_each_end_is_told_also_at_the_last(listener):
    """A second stop resets what lives, of every worker."""
    with Running([host(listener)], workers=3) as running:
        pairs = [(running.connect(), listener.accept()[0]) for _ in range(6)]
        eventually(lambda: shares(running) == [2, 2, 2])
    assert len([line for line in running.lines if "closed after" in line]) == 6
    for client, upstream in pairs:
        client.close()
        upstream.close()


def test_there_may_be_no_more_threads(monkeypatch):
    start = threading.Thread.start
    started = []

    def start_one(thread):
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_one)
    options = ProxyOptions(
        (ServiceOptions((LISTEN,), parse_upstreams(["127.0.0.1:1"])),),
        "unit",
        relay=True,
        workers=3,
    )
    proxy = Proxy(options)
    with pytest.raises(SockproxyError, match="start a thread") as caught:
        proxy.open()
    assert "fewer --workers" in caught.value.hint
    assert not started[0].is_alive()


def test_one_that_fails_ends_them_all(listener):
    def fail():
        raise ZeroDivisionError

    options = ProxyOptions(
        (ServiceOptions((LISTEN,), (host(listener),)),), "unit", relay=True, workers=2
    )
    proxy = Proxy(options)
    proxy.open()
    proxy.worker.other_loops[0].call(fail)
    with pytest.raises(ZeroDivisionError):
        proxy.run()
    proxy.close()


def test_a_client_of_each_leaves_an_upstream_that_falls_silent(listener):
    """By the time-out of the first, which is of one worker: those of the other go as well."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as silent,
        Running([host(silent), host(listener)], workers=2, connect_timeout=3.0) as running,
    ):
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:  # its backlog is full: nobody answers
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        time.sleep(0.1)
        clients, began = [], time.monotonic()
        for _ in range(8):
            clients.append(running.connect())
        accepted = [listener.accept()[0] for _ in range(8)]
        assert time.monotonic() - began < patience(5)
        eventually(lambda: len(running.told("does not answer")) == 1)
        eventually(lambda: shares(running) == [4, 4])
        for sock in (*clients, *accepted, *fillers):
            sock.close()


def be_refused(where):
    """connect() may hear of the reset as well."""
    with (
        pytest.raises(ConnectionResetError),
        socket.create_connection(where, patience(10)) as client,
    ):
        client.recv(1)


def test_refusals_of_each_are_told():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        where = host(closed)
    with Running([where], workers=3) as running:
        for _ in range(9):
            be_refused(running.proxy.listening[0].sockaddr)
        eventually(lambda: len(running.told("connection refused")) == 9)
        assert running.proxy.clients.refused == 9
        assert running.proxy.clients.count == 0


def test_a_connection_that_comes_back_to_another_worker():
    """A proxy before itself: whoever accepts knows the connection that another has made. It may
    have accepted it before that was noted, and made one more, but not for ever."""
    (where,) = parse_upstreams([f"127.0.0.1:{free_port()}"])
    with Running([where], listen=where.host.addresses, workers=3) as running:
        for _ in range(12):
            be_refused(where.host.addresses[0].sockaddr)
        eventually(lambda: running.proxy.clients.count == 0)
        assert 12 <= running.proxy.clients.refused < 24
        eventually(lambda: running.told("own connection"))


class Shared(FakeKernel):
    """One whose share for another worker is refused, or cannot be used."""

    def __init__(self, refused):
        super().__init__()
        self.refused, self.share_made = refused, None

    def share(self):
        if self.refused:
            raise SockproxyError("make a ring buffer", errno=errno.ENOMEM)
        self.share_made = FakeKernel()
        return self.share_made


def test_one_relays_where_it_can_have_no_share():
    with closing(Lines("sockproxy")) as log:
        workers = Workers(2, Limits(), lambda event: None, ())
        kernel = Shared(refused=True)
        workers.use(kernel)
        assert workers.kernel is kernel
        assert workers.why_not == ""
        assert any("one of 2 workers relays" in line for line in log.lines)
        workers.close()
        assert kernel.closed


def test_a_share_is_closed_before_the_whole():
    order = []
    workers = Workers(2, Limits(), lambda event: None, ())
    kernel = Shared(refused=False)
    workers.use(kernel)
    for each, name in ((kernel, "whole"), (kernel.share_made, "share")):
        each.close = lambda close=each.close, name=name: (order.append(name), close())
    workers.close()
    assert order == ["share", "whole"]


def test_no_memory_for_another(monkeypatch):
    made = []

    def refuse(self, *arguments):
        if made:
            raise OSError(errno.EMFILE, "none")
        made.append(self)
        create(self, *arguments)

    create = Engine.__init__
    monkeypatch.setattr(Engine, "__init__", refuse)
    with pytest.raises(OSError, match="none"):
        Workers(3, Limits(), lambda event: None, ())

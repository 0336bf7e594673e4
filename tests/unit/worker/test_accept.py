"""Clients and their upstreams, by the native worker: who is waited for, and what is told."""

from __future__ import annotations

import collections
import contextlib
import errno
import itertools
import os
import socket
import threading
import time

import pytest

from sockproxy.net.address import Address
from sockproxy.net.tcp import EVERY_END, set_options
from sockproxy.worker.accept import Acceptor, Rejection
from sockproxy.worker.door import Limits
from sockproxy.worker.engine import Engine
from sockproxy.worker.targets import Target
from tests.support.fake_system import CALLS, Scarce, calls, ffi
from tests.support.sockets import eventually, receive

SYN_SENT = 2


class Served:
    """An acceptor whose loop runs, its listening sockets, and what it tells."""

    def __init__(self, targets=(), listeners=1, host="127.0.0.1", **options):
        self.engine = Engine(Limits(), lambda _event: None)
        self.rejections, self.silences, self.shortages = [], [], []
        self.acceptor = Acceptor(self.engine.loop, self, most=options.pop("most", 100))
        how = {"timeout": 5.0, "options": EVERY_END, **options}
        self.service = self.acceptor.serve(**how)
        self.service.set_targets([Target(each) for each in targets])
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        both = {"dualstack_ipv6": host == "::"}
        self.listeners = [
            socket.create_server((host, 0), family=family, **both) for _ in range(listeners)
        ]
        for listener in self.listeners:
            set_options(listener, EVERY_END)
            listener.setblocking(False)
            self.service.listen(listener)
        self.thread = threading.Thread(target=self.engine.loop.run)

    def rejected(self, refused):
        self.rejections.append(refused)

    def silent(self, _service, address):
        self.silences.append(address)

    def short(self, error):
        self.shortages.append(error)

    def __enter__(self):
        self.thread.start()
        return self

    def client(self, number=0):
        """One that may be reset at once."""
        client = socket.socket()
        client.settimeout(20)
        with contextlib.suppress(ConnectionResetError):
            client.connect(self.listeners[number].getsockname()[:2])
        return client

    def served(self):
        eventually(lambda: self.engine.live)
        (stats,) = self.engine.read().live
        return stats

    def rejection(self):
        eventually(lambda: self.rejections)
        (refused,) = self.rejections
        return refused

    def __exit__(self, *_):
        self.engine.loop.stop()
        self.thread.join()
        self.acceptor.listen_no_more()
        self.acceptor.close()
        for listener in self.listeners:
            listener.close()
        self.engine.close()


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def at(sock):
    return Address(socket.AF_INET, *sock.getsockname()[:2])


def later(real, fd, level, name, value, size):
    """getsockopt(2), by which a connection has no answer yet when connect(2) returns."""
    if level == socket.IPPROTO_TCP and name == socket.TCP_INFO and later.waits:
        ffi.cast("unsigned char *", value)[0] = SYN_SENT
        return 0
    return real(fd, level, name, value, size)


later.waits = True


# -- connecting ----------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["at once", "later"])
def test_a_client_has_its_upstream(server, answer):
    how = contextlib.nullcontext() if answer == "at once" else calls(getsockopt=later)
    with how, Served([at(server)]) as served, served.client() as client:
        upstream, place = server.accept()
        with upstream:
            stats = served.served()
            assert stats.client == client.getsockname()
            assert stats.client_local == client.getpeername()
            assert stats.upstream == server.getsockname()
            assert stats.upstream_local == place
            client.sendall(b"there")
            assert receive(upstream, 5) == b"there"
            upstream.sendall(b"back")
            assert receive(client, 4) == b"back"


@pytest.mark.parametrize("host", ["::1", "::", "0.0.0.0"])
def test_where_a_client_is(server, host):
    with Served([at(server)], host=host) as served:
        port = served.listeners[0].getsockname()[1]
        reached = "::1" if host == "::1" else "127.0.0.1"
        with socket.create_connection((reached, port), 20) as client:
            stats = served.served()
            before = "::ffff:" if host == "::" else ""
            assert stats.client == (before + reached, client.getsockname()[1])
            assert stats.client_local == (before + reached, port)


@pytest.mark.parametrize("answer", ["at once", "later"])
def test_a_refusal_is_told(answer):
    how = contextlib.nullcontext() if answer == "at once" else calls(getsockopt=later)
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        with how, Served([at(unheard)]) as served, served.client() as client:
            refused = served.rejection()
            assert refused.peer == client.getsockname()
            assert refused.upstream == at(unheard)
            assert (refused.why, refused.error) == (Rejection.FAILED, errno.ECONNREFUSED)
            with contextlib.suppress(ConnectionResetError):  # it may be told as it connects
                assert client.recv(1) == b""
            assert served.acceptor.refused == 1


def test_a_client_without_an_original_destination():
    with Served(original=True) as served, served.client():
        refused = served.rejection()
        assert refused.why is Rejection.NOT_MEANT
        assert refused.upstream is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EPERM])
def test_an_attempt_that_cannot_be_watched_is_passed_over(server, number):
    scarce = Scarce(number)
    nobody = Address(socket.AF_INET, "127.0.0.2", 1)
    with Served([at(server), nobody]) as served:
        scarce.fails = lambda _epoll, _add, _fd, _event: not scarce.failures
        with calls(getsockopt=later, epoll_ctl=scarce), served.client():
            refused = served.rejection()
        assert (refused.upstream, refused.error) == (nobody, errno.ECONNREFUSED)


def test_an_attempt_by_a_zone_that_is_gone_is_passed_over(server):
    gone = Address(socket.AF_INET6, "fe80::1%nothing", 80)
    with Served([gone, at(server)]) as served, served.client():
        assert served.served().upstream == server.getsockname()
        eventually(lambda: len(served.silences) == 1)  # ENETUNREACH; it is told a moment later


@pytest.mark.parametrize(
    ("number", "silent"),
    [(errno.ETIMEDOUT, 1), (errno.EHOSTUNREACH, 1), (errno.ENETUNREACH, 1), (errno.EHOSTDOWN, 1),
     (errno.ENETDOWN, 1), (errno.ECONNREFUSED, 0), (errno.EADDRNOTAVAIL, 0), (errno.EPERM, 0)],
)  # fmt: skip
def test_what_is_silence(server, number, silent):
    with calls(connect=Scarce(number)), Served([at(server)]) as served, served.client():
        assert served.rejection().error == number
        assert served.silences == [at(server)] * silent


def test_more_are_tried_than_fit_into_a_client(server):
    """Each once."""
    nobody = [Address(socket.AF_INET, f"127.0.0.{host}", 1) for host in range(2, 40)]
    tries = []

    def connect(real, *arguments):
        tries.append(1)
        return real(*arguments)

    with calls(connect=connect), Served([*nobody, at(server)]) as served, served.client():
        assert served.served().upstream == server.getsockname()
        assert len(tries) == 39


# -- how many, and shortages -----------------------------------------------------------------


def test_those_that_are_too_many_wait(server):
    with Served([at(server)], most=2) as served, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(served.client()) for _ in range(3)]
        eventually(lambda: served.engine.live == 2)
        assert served.acceptor.clients == 2
        clients[0].close()
        for _ in range(3):
            server.accept()[0].close()
        eventually(lambda: served.engine.read().ended.pairs >= 1)
        eventually(lambda: len(served.engine.read().live) + served.engine.read().ended.pairs == 3)


def test_clients_are_accepted_once_there_is_memory_to_watch_for_them(server):
    """Not being able to must not end the loop, on which other connections live."""
    tries, scarce = itertools.count(), Scarce(errno.ENOMEM)
    scarce.fails = lambda _epoll, add, _fd, _event: add == 1 and 1 <= next(tries) <= 3
    with (
        calls(epoll_ctl=scarce),
        Served([at(server)], listeners=2) as served,
        served.client(0),
        served.client(1),
    ):
        eventually(lambda: served.engine.live == 2)
        assert served.shortages


@pytest.mark.parametrize("call", ["realloc", "epoll_ctl", "getsockname", "setsockopt", "socket",
                                  "accept4", "connect", "getsockopt"])  # fmt: skip
@pytest.mark.parametrize("place", range(1, 9))
def test_each_call_may_fail_once(server, call, place):
    """The client is served, or reset; nothing is left, and the next one is served."""
    before = len(os.listdir("/proc/self/fd"))
    server.settimeout(20)
    with Served([at(server)], timeout=0.5) as served:
        tries, scarce = itertools.count(1), Scarce(errno.ENOMEM)
        scarce.fails = lambda *_: next(tries) == place
        answering = threading.Thread(target=answer_until, args=(server, b"last"))
        answering.start()
        with calls(**{call: scarce}):
            for _ in range(2):
                with contextlib.suppress(ConnectionError), served.client() as client:
                    client.sendall(b"first")
                    assert client.recv(5) in (b"", b"first")
        with served.client() as client:
            client.sendall(b"last")
            assert receive(client, 4) == b"last"
        answering.join()
        eventually(lambda: not served.acceptor.clients)
    assert len(os.listdir("/proc/self/fd")) == before


def answer_until(server, last):
    """Send back what comes, to one after the other, until somebody sends that."""
    said = b""
    while said != last:
        with contextlib.suppress(ConnectionError), server.accept()[0] as upstream:
            upstream.settimeout(20)
            said = upstream.recv(10)
            upstream.sendall(said)


# -- what it costs ---------------------------------------------------------------------------

OF_ONE = {
    # accepted, and found to be the last of those who wait
    "accept4": 2,
    # the upstream's: made, with EVERY_END's two options, connected; its address, and that it is
    "socket": 1, "connect": 1, "getsockname": 1,
    # one registration a socket, and none is undone; fewer waits where more comes together
    "epoll_ctl": 2, "epoll_wait": 8,
    # a message each way in, out and no more, and each end
    "splice": 8,
    # the state at each end, and of the connect; one FIN (the other is close's); a RST no more
    "getsockopt": 3, "shutdown": 1, "setsockopt": 4, "close": 2,
}  # fmt: skip
"""System calls of a connection with one request and one answer, as docs/ARCHITECTURE.md says."""


def test_what_a_short_connection_costs(server):
    counted = collections.Counter()

    def counting(name):
        def call(real, *arguments):
            counted[name] += 1
            return real(*arguments)

        return call

    every = {name: counting(name) for name in CALLS if name != "realloc"}
    with Served([at(server)]) as served:
        for turn in range(3):
            with contextlib.ExitStack() as stack:
                if turn:  # the first one makes a pipe
                    counted.clear()
                    stack.enter_context(calls(**every))
                client = stack.enter_context(served.client())
                upstream = stack.enter_context(server.accept()[0])
                eventually(lambda: served.engine.live)
                time.sleep(0.05)  # so that nothing is told together
                client.sendall(b"request")
                receive(upstream, 7)
                time.sleep(0.05)
                upstream.sendall(b"answer")
                receive(client, 6)
                time.sleep(0.05)
                client.close()
                assert upstream.recv(1) == b""
                time.sleep(0.05)
                upstream.close()
                eventually(lambda: not served.engine.live)
    assert counted.total() <= sum(OF_ONE.values()), counted
    assert all(counted[name] <= most for name, most in OF_ONE.items()), counted


# -- trials --------------------------------------------------------------------------------


def test_a_trial_tells_how_it_ended(server):
    with socket.socket() as unheard, Served() as served:
        unheard.bind(("127.0.0.1", 0))
        said = []

        def try_all():
            for each in (server, unheard):
                served.service.try_once(at(each), said.append)
            forget = served.service.try_once(at(server), lambda _number: said.append("forgotten"))
            forget()
            forget()

        served.engine.loop.call(try_all)
        eventually(lambda: len(said) == 2)
        assert sorted(said) == [0, errno.ECONNREFUSED]

"""Clients and their upstreams, by the native worker: who is waited for, and what is told."""

from __future__ import annotations

import contextlib
import errno
import os
import socket

import pytest

from sockproxy.net.address import Address
from sockproxy.net.tcp import EVERY_END, set_options
from sockproxy.worker.accept import Acceptor, Refusal
from sockproxy.worker.loop import EventLoop
from tests.support.fake_system import Scarce, calls, ffi

SYN_SENT = 2


class Heard:
    """What an acceptor tells; it stops the loop when it has told of `most`."""

    def __init__(self, loop, most=1):
        self.loop, self.left = loop, most
        self.got, self.rejections, self.silences, self.shortages = [], [], [], []

    def _one(self):
        self.left -= 1
        if not self.left:
            self.loop.stop()

    def connected(self, connected):
        self.got.append(connected)
        self._one()

    def rejected(self, refused):
        self.rejections.append(refused)
        self._one()

    def silent(self, address):
        self.silences.append(address)

    def short(self, error):
        self.shortages.append(error)


class Served:
    """An acceptor, its listening sockets, and what it tells."""

    def __init__(self, targets=(), listeners=1, told=1, host="127.0.0.1", **options):
        self.loop = EventLoop()
        self.heard = Heard(self.loop, told)
        options = {"most": 100, "timeout": 5.0, **options}
        self.acceptor = Acceptor(self.loop, self.heard, options=EVERY_END, **options)
        self.acceptor.set_targets(targets)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listeners = [
            socket.create_server((host, 0), family=family, dualstack_ipv6=host == "::")
            for _ in range(listeners)
        ]
        for listener in self.listeners:
            set_options(listener, EVERY_END)
            listener.setblocking(False)

    def __enter__(self):
        return self

    def listen(self):
        for listener in self.listeners:
            self.acceptor.listen(listener)
        return self

    def client(self, number=0):
        return socket.create_connection(self.listeners[number].getsockname()[:2], 20)

    def run(self):
        self.loop.later(20, self.loop.stop)
        self.loop.run()

    def __exit__(self, *_):
        for connected in self.heard.got:
            os.close(connected.client_fd)
            os.close(connected.upstream_fd)
            self.acceptor.release(connected.number)
        self.acceptor.listen_no_more()
        self.acceptor.close()
        for listener in self.listeners:
            listener.close()
        self.loop.close()


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def at(sock):
    return Address(socket.AF_INET, *sock.getsockname()[:2])


def later(real, fd, level, name, value, size):
    """getsockopt(2), by which a connection has no answer yet when connect(2) returns."""
    if level == socket.IPPROTO_TCP and name == socket.TCP_INFO:
        ffi.cast("unsigned char *", value)[0] = SYN_SENT
        return 0
    return real(fd, level, name, value, size)


# -- connecting ----------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["at once", "later"])
def test_a_client_has_its_upstream(server, answer):
    how = contextlib.nullcontext() if answer == "at once" else calls(getsockopt=later)
    with how, Served([at(server)]) as served, served.listen().client() as client:
        served.run()
        (connected,) = served.heard.got
        upstream, place = server.accept()
        with upstream:
            assert connected.client.far == client.getsockname()
            assert connected.client.near == client.getpeername()
            assert connected.upstream.far == server.getsockname()
            assert connected.upstream.near == place
            os.write(connected.upstream_fd, b"there")
            assert upstream.recv(5) == b"there"
            os.write(connected.client_fd, b"back")
            assert client.recv(4) == b"back"


@pytest.mark.parametrize("host", ["::1", "::", "0.0.0.0"])
def test_where_a_client_is(server, host):
    with Served([at(server)], host=host) as served:
        port = served.listen().listeners[0].getsockname()[1]
        reached = "::1" if host == "::1" else "127.0.0.1"
        with socket.create_connection((reached, port), 20) as client:
            served.run()
            (connected,) = served.heard.got
            before = "::ffff:" if host == "::" else ""
            assert connected.client.far == (before + reached, client.getsockname()[1])
            assert connected.client.near == (before + reached, port)


@pytest.mark.parametrize("answer", ["at once", "later"])
def test_a_refusal_is_told(answer):
    how = contextlib.nullcontext() if answer == "at once" else calls(getsockopt=later)
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        with how, Served([at(unheard)]) as served, served.listen().client() as client:
            served.run()
            (refused,) = served.heard.rejections
            assert refused.peer == client.getsockname()
            assert refused.upstream == at(unheard)
            assert (refused.why, refused.error) == (Refusal.FAILED, errno.ECONNREFUSED)
            with pytest.raises(ConnectionResetError):
                client.recv(1)
            assert served.acceptor.refused == 1


def test_a_client_without_an_original_destination():
    with Served(original=True) as served, served.listen().client():
        served.run()
        (refused,) = served.heard.rejections
        assert refused.why is Refusal.NOT_MEANT
        assert refused.upstream is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EPERM])
def test_an_attempt_that_cannot_be_watched_is_passed_over(server, number):
    scarce = Scarce(number)
    with Served([at(server), Address(socket.AF_INET, "127.0.0.2", 1)]) as served:
        served.listen()
        scarce.fails = lambda _epoll, _add, fd, _event: not scarce.failures
        with calls(getsockopt=later, epoll_ctl=scarce), served.client():
            served.run()
        (refused,) = served.heard.rejections
        assert refused.upstream == Address(socket.AF_INET, "127.0.0.2", 1)
        assert refused.error == errno.ECONNREFUSED


def test_an_attempt_by_a_zone_that_is_gone_is_passed_over(server):
    gone = Address(socket.AF_INET6, "fe80::1%nothing", 80)
    with Served([gone, at(server)]) as served, served.listen().client():
        served.run()
        assert len(served.heard.got) == 1
        assert len(served.heard.silences) == 1  # ENETUNREACH


@pytest.mark.parametrize(
    ("number", "silent"),
    [(errno.ETIMEDOUT, 1), (errno.EHOSTUNREACH, 1), (errno.ENETUNREACH, 1), (errno.EHOSTDOWN, 1),
     (errno.ENETDOWN, 1), (errno.ECONNREFUSED, 0), (errno.EADDRNOTAVAIL, 0), (errno.EPERM, 0)],
)  # fmt: skip
def test_what_is_silence(server, number, silent):
    scarce = Scarce(number)
    with calls(connect=scarce), Served([at(server)]) as served, served.listen().client():
        served.run()
        assert served.heard.rejections[0].error == number
        assert served.heard.silences == [at(server)] * silent


def test_more_are_tried_than_fit_into_a_client(server):
    """Each once, and the order stays."""
    nobody = [Address(socket.AF_INET, f"127.0.0.{host}", 1) for host in range(2, 40)]
    with Served([*nobody, at(server)]) as served, served.listen().client():
        served.run()
        assert len(served.heard.got) == 1


# -- how many, and shortages -----------------------------------------------------------------


def test_those_that_are_too_many_wait(server):
    with Served([at(server)], most=2, told=2) as served:
        served.listen()
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(served.client())
            served.run()
            assert served.acceptor.clients == 2
            first, served.heard.left = served.heard.got.pop(0), 1
            os.close(first.client_fd)
            os.close(first.upstream_fd)
            served.acceptor.release(first.number)
            served.loop._stopping = False
            served.run()
            assert len(served.heard.got) == 2
            assert served.acceptor.clients == 2


def test_clients_are_accepted_once_there_is_memory_to_watch_for_them(server):
    """Not being able to must not end the loop, on which other connections live."""
    with Served([at(server)], listeners=2, told=2) as served:
        watched = {listener.fileno() for listener in served.listeners}
        scarce = Scarce(errno.ENOMEM)
        scarce.fails = lambda _epoll, add, fd, _event: (
            add == 1 and fd in watched and scarce.failures < 3
        )
        with calls(epoll_ctl=scarce):
            served.listen()
            with served.client(0), served.client(1):
                served.run()
        assert len(served.heard.got) == 2
        assert served.heard.shortages


def test_what_was_not_told_yet_is_closed(server):
    before = len(os.listdir("/proc/self/fd"))
    with Served([at(server)]) as served, served.listen().client() as client:
        served.loop._lib.worker_run(served.loop.native, -1, served.loop._news, 0)
        assert served.acceptor.clients == 1
        served.acceptor._lib.worker_close_clients(served.loop.native)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        served.acceptor.release(0)
    assert len(os.listdir("/proc/self/fd")) == before


# -- trials --------------------------------------------------------------------------------


def test_a_trial_tells_how_it_ended(server):
    with socket.socket() as unheard, Served() as served:
        unheard.bind(("127.0.0.1", 0))
        said = []
        for each in (server, unheard):
            served.acceptor.try_once(at(each), said.append)
        forget = served.acceptor.try_once(at(server), lambda _number: pytest.fail("forgotten"))
        forget()
        forget()
        served.loop.later(0.2, served.loop.stop)
        served.run()
        assert sorted(said) == [0, errno.ECONNREFUSED]

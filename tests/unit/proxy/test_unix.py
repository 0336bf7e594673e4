"""A proxy with Unix sockets whose system calls fail."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from sockproxy.net.address import parse_address
from sockproxy.proxy.pool import parse_upstreams
from tests.support.fake_system import Scarce, calls
from tests.support.proxy_thread import Running
from tests.support.scale import patience
from tests.support.sockets import eventually, receive
from tests.support.unix import connect, connect_elsewhere, unix_server


@pytest.fixture
def server(tmp_path):
    with unix_server(f"unix:{tmp_path}/up") as sock:
        sock.settimeout(patience(10))
        yield sock


@pytest.fixture
def running(tmp_path, server):
    where = (parse_address(f"unix:{tmp_path}/in"),)
    with Running(
        parse_upstreams([f"unix:{server.getsockname()}"]), listen=where, connect_timeout=0.5
    ) as made:
        yield made


def client_of(running):
    return connect_elsewhere(str(running.proxy.listening[0]), patience(20))


def serves(running, server):
    with client_of(running) as client:
        served = server.accept()[0]
        with served:
            client.sendall(b"x")
            assert receive(served, 1) == b"x"


def test_both_ends_by_name(running, server):
    with client_of(running) as client, server.accept()[0] as served:
        client.sendall(b"x")
        assert receive(served, 1) == b"x"
        (pair,) = running.proxy.worker.read().live
        assert pair.client[0].startswith("unix:pid=")
        assert pair.client[0].endswith(f",uid={os.getuid()}")
        assert pair.client_local == (str(running.proxy.listening[0]), 0)
        assert pair.upstream == (f"unix:{server.getsockname()}", 0)
        assert pair.upstream_local == ("unix:", 0)
        assert pair.forward.why == pair.why_not_short_circuited == "one end is a Unix socket"


def test_a_client_of_this_process_is_a_loop(running):
    with connect((str(running.proxy.listening[0]), 0), patience(10)) as client:
        assert client.recv(1) == b""
    eventually(lambda: any("by a Unix socket" in line for line in running.lines))


@pytest.mark.parametrize(
    ("number", "told"),
    [(errno.EAGAIN, "no answer in 0.5 s"), (errno.EACCES, "permission denied"),
     (errno.ENOENT, "no such file"), (errno.ECONNREFUSED, "connection refused")],
)  # fmt: skip
def test_an_upstream_that_cannot_be_reached(running, server, number, told):
    scarce = Scarce(number)
    with calls(connect=scarce), client_of(running) as client:
        assert client.recv(1) == b""
    eventually(lambda: any(told in line for line in running.lines))
    assert (scarce.failures > 2) == (number == errno.EAGAIN)
    if number == errno.EAGAIN:  # it is silent, until a trial in the background is answered
        service = running.proxy.services[0]
        eventually(lambda: service.upstreams.report()["upstreams"][0]["state"] == "up")
        server.accept()[0].close()
    serves(running, server)


def test_a_backlog_that_is_full_for_a_moment(running, server):
    scarce = Scarce(errno.EAGAIN)
    scarce.fails = lambda *_: scarce.failures < 3
    with calls(connect=scarce):
        serves(running, server)
    assert scarce.failures == 3
    assert running.proxy.clients.refused == 0


def test_of_a_client_nothing_can_be_read(running, server):
    scarce = Scarce(errno.ENOBUFS)
    scarce.fails = lambda _fd, level, name, *_: (
        (level, name) == (socket.SOL_SOCKET, socket.SO_OOBINLINE)
    )
    with calls(setsockopt=scarce), client_of(running) as client:
        eventually(lambda: scarce.failures)
        assert client.recv(1) == b""
    serves(running, server)
    assert running.proxy.clients.count <= 1


def test_one_that_shuts_down_reading_is_heard_on(running, server):
    """What is sent to it is lost, as by TCP; its answer, and its end, are not."""
    with client_of(running) as client, server.accept()[0] as served:
        client.sendall(b"question")
        assert receive(served, 8) == b"question"
        served.shutdown(socket.SHUT_RD)
        client.sendall(b"more, which nobody reads")
        client.shutdown(socket.SHUT_WR)
        eventually(lambda: any_dropped(running))
        served.sendall(b"answer" * 1000)
        served.close()
        assert receive(client, 6000) == b"answer" * 1000
        assert client.recv(1) == b""
    eventually(lambda: running.proxy.clients.count == 0)
    eventually(lambda: running.told("finished"))


def any_dropped(running):
    return any(each.forward.dropped for each in running.proxy.worker.read().live)

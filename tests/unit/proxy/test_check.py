"""One check of an upstream, with real sockets: what is sent, what is expected, what is wrong."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading

import pytest

from sockproxy.net.address import Address
from sockproxy.net.tcp import EVERY_END
from sockproxy.proxy import check
from sockproxy.proxy.check import Check, Way, header_of_checks
from sockproxy.proxy.pool import Health
from sockproxy.worker.loop import EventLoop
from tests.support.scale import patience
from tests.support.sockets import receive


@pytest.fixture(autouse=True)
def _nothing_is_left_open():
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) == before


def at(sock):
    return Address(socket.AF_INET, *sock.getsockname()[:2])


def result(address, how, way=None):
    """What one has found."""
    loop, found = EventLoop(), []

    def done(failure):
        found.append(failure)
        loop.call(loop.stop)

    tried = Check(loop, address, how, way or Way(EVERY_END), done)
    loop.call(tried.begin)
    loop.run()
    tried.cancel()
    loop.close()
    (failure,) = found
    return failure


class Answering:
    """A server that reads `wants` bytes, and answers in these pieces; None closes with a RST."""

    def __init__(self, *pieces, wants=0):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.heard, self._pieces, self._wants = b"", pieces, wants
        self._go_on = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def _serve(self):
        sock, _ = self.listener.accept()
        with sock, contextlib.suppress(OSError):
            sock.settimeout(patience(20))
            self.heard = receive(sock, self._wants) if self._wants else b""
            for piece in self._pieces:
                if piece is None:
                    sock.setsockopt(*EVERY_END[0])
                    return
                sock.sendall(piece)
                self._go_on.wait(0.02)
            if not self._pieces or self._pieces[-1] != b"":
                self._go_on.wait(patience(20))  # it is left open

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._go_on.set()
        self._thread.join()
        self.listener.close()


LONG = patience(20.0)


def test_to_connect_is_enough():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert result(at(server), Health(timeout=LONG)) == ""


def test_one_that_refuses():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert result(at(bound), Health(timeout=LONG)) == "connection refused"


def test_one_that_nobody_answers_for():
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as stack:
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        assert result(at(full), Health(timeout=0.2)) == "no connection in 0.2 s"


@pytest.mark.parametrize(
    "pieces", [(b"+PONG\r\n",), (b"+", b"PO", b"NG and more"), (b"+PONG", b"")]
)
def test_the_answer_begins_as_expected(pieces):
    how = Health(timeout=LONG, send=b"PING\r\n", expect=b"+PONG")
    with Answering(*pieces, wants=6) as server:
        assert result(at(server.listener), how) == ""
    assert server.heard == b"PING\r\n"


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        ((b"-LOADING",), "the answer begins with b'-LOAD'"),
        ((b"+PO", b"LO"), "the answer begins with b'+POLO'"),
        ((b"+PO", b""), "it has ended after 3 of 5 bytes"),
        ((b"",), "it has ended after 0 of 5 bytes"),
        ((None,), "connection reset by peer"),
    ],
)
def test_other_answers(pieces, why):
    with Answering(*pieces) as server:
        assert result(at(server.listener), Health(timeout=LONG, expect=b"+PONG")) == why


def test_one_that_accepts_and_never_answers():
    with Answering(wants=1) as server:
        how = Health(timeout=0.2, send=b"?", expect=b"!")
        assert result(at(server.listener), how) == "no answer in 0.2 s"


def test_much_is_sent_whole():
    much = bytes(range(256)) * 16
    with Answering(b"ok", wants=len(much)) as server:
        assert result(at(server.listener), Health(timeout=LONG, send=much, expect=b"ok")) == ""
    assert server.heard == much


@pytest.mark.parametrize(
    ("version", "header"),
    [
        (1, b"PROXY UNKNOWN\r\n"),
        (2, b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"),
    ],
)
def test_the_header_comes_first(version, header):
    """And where that is all, the other end reads it: it is not reset away."""
    way = Way(EVERY_END, header_of_checks(version))
    with Answering(b"", wants=len(header)) as server:
        assert result(at(server.listener), Health(timeout=LONG), way) == ""
    assert server.heard == header
    with Answering(b"ok", wants=len(header) + 2) as server:
        how = Health(timeout=LONG, send=b"hi", expect=b"ok")
        assert result(at(server.listener), how, way) == ""
    assert server.heard == header + b"hi"


def test_want_on_this_host_says_nothing_of_the_upstream(monkeypatch):
    def no_socket(*_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with socket.create_server(("127.0.0.1", 0)) as server:
        where = at(server)
        monkeypatch.setattr(check.socket, "socket", no_socket)
        assert result(where, Health(timeout=LONG)) is None


def test_one_that_is_cancelled_tells_nothing():
    with socket.create_server(("127.0.0.1", 0)) as server:
        loop, found = EventLoop(), []
        tried = Check(loop, at(server), Health(timeout=0.05, expect=b"x"), Way(), found.append)
        tried.begin()
        tried.cancel()
        loop.later(0.2, loop.stop)
        loop.run()
        loop.close()
        assert found == []


def test_a_backlog_of_a_unix_socket_that_is_full_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(check, "AGAIN", 0.01)
    path = f"{tmp_path}/up"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        address = Address(socket.AF_UNIX, f"unix:{path}", 0)
        assert result(address, Health(timeout=0.1)) == "no connection in 0.1 s"
        later = threading.Timer(0.1, lambda: listener.accept()[0].close())
        later.start()
        assert result(address, Health(timeout=patience(10))) == ""
        later.join()

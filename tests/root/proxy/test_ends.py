"""Ends are what TCP makes them: what came before a RST is passed on, and urgent bytes are."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading

import pytest

from tests.support.ends import (
    ENDED,
    answer_and_close,
    check_stream,
    converse,
    send_and_reset,
    urgent_byte,
)
from tests.support.memory import busy_cores
from tests.support.pattern import Pattern
from tests.support.proxy import running_proxy
from tests.support.scale import patience, scaled
from tests.support.sockets import receive, reset, tcp_pair

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("splice")]

MODES = {"auto": [], "eager": ["--eager"], "relay": ["--relay"]}
SIZES = [0, 8, 1000, 65_536, 300_000, 5_000_000]
TURNS = [0, 10]
ROUNDS = scaled(10, 2)


@pytest.fixture(scope="module")
def listener():
    with socket.create_server(("127.0.0.1", 0), backlog=128) as sock:
        sock.settimeout(patience(10))
        yield sock


@pytest.fixture(scope="module", params=MODES)
def proxy(request, listener):
    with running_proxy(listener.getsockname(), *MODES[request.param]) as proxy:
        yield proxy


@pytest.fixture
def through(proxy, listener):
    """Connects a client and the server through the proxy, and closes both."""
    opened = []

    def connect():
        client = socket.create_connection(proxy.address, timeout=patience(20))
        server, _ = listener.accept()
        server.settimeout(patience(20))
        for sock in (client, server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.extend((client, server))
        return client, server

    yield connect
    for sock in opened:
        sock.close()


@pytest.mark.parametrize("turns", TURNS)
@pytest.mark.parametrize("size", SIZES)
def test_an_answer_before_a_reset_arrives(through, size, turns):
    for _ in range(ROUNDS):
        answer_and_close(*through(), size, turns=turns)


@pytest.mark.parametrize("turns", TURNS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("who", ["client", "server"])
def test_what_was_sent_before_a_reset_arrives(through, who, size, turns):
    for _ in range(ROUNDS):
        client, server = through()
        one, other = (client, server) if who == "client" else (server, client)
        send_and_reset(one, other, size, turns=turns)


@pytest.mark.parametrize("turns", TURNS)
def test_slow_readers_have_it_too(through, turns):
    send_and_reset(*through(), 5_000_000, turns=turns, nap=0.005)
    answer_and_close(*through(), 5_000_000, turns=turns, nap=0.005)


def test_a_reset_from_both_ends_ends_the_pair(proxy, through):
    for _ in range(ROUNDS):
        client, server = through()
        client.sendall(b"x")
        receive(server, 1)
        reset(client)
        reset(server)
    assert proxy.settled()["connections"] == 0


def test_a_client_that_has_reset_before_it_is_accepted_is_heard(proxy, listener):
    """The server gets what TCP had taken from it, and then the reset."""
    for size in (0, 8, 60_000):
        proxy.signal(signal.SIGSTOP)
        client = socket.create_connection(proxy.address, timeout=patience(10))
        client.sendall(Pattern(size).at(0, size))
        reset(client)
        proxy.signal(signal.SIGCONT)
        server, _ = listener.accept()
        server.settimeout(patience(10))
        with server:
            check_stream(server, size)


def test_a_reset_that_the_kernel_meets_as_it_sends_is_no_end_of_stream(proxy, listener):
    """sk_psock_backlog() sends an skb in pieces: one takes the error, the next is told EPIPE."""
    count = scaled(3000, 50)

    def serve():
        for _ in range(count):
            server, _ = listener.accept()
            with server:
                server.recv(8)  # and close with the others unread

    thread = threading.Thread(target=serve)
    thread.start()
    with busy_cores(scaled(1, 0)):
        for _ in range(count):
            with socket.create_connection(proxy.address, timeout=patience(20)) as client:
                with contextlib.suppress(*ENDED):
                    client.sendall(bytes(200_000))
                check_stream(client, 0)
    thread.join(patience(20))
    assert not thread.is_alive()


@pytest.mark.parametrize("inline", [False, True], ids=["out of band", "inline"])
@pytest.mark.parametrize("end", [False, True], ids=["goes on", "ends"])
@pytest.mark.parametrize("after", [0, 1, 1000, 300_000])
@pytest.mark.parametrize("before", [0, 3, 300_000])
@pytest.mark.parametrize("turns", TURNS)
def test_an_urgent_byte_is_passed_on_as_one(through, turns, before, after, end, inline):
    for number in range(4):
        client, server = through()
        one, other = (client, server) if number % 2 else (server, client)
        urgent_byte(one, other, before=before, after=after, turns=turns, inline=inline, end=end)


@pytest.fixture
def own_listener():
    with socket.create_server(("127.0.0.1", 0), backlog=128) as sock:
        sock.settimeout(patience(10))
        yield sock


@pytest.mark.parametrize("turns", TURNS)
@pytest.mark.parametrize("option", MODES.values(), ids=MODES)
def test_a_proxy_that_is_killed_ends_no_stream(own_listener, option, turns):
    """Its kernel resets the connections: a FIN would be the end of a stream that was cut."""
    upstream, ends = own_listener.getsockname(), []
    with running_proxy(upstream, *option, exit_code=-signal.SIGKILL) as proxy:
        for number in range(scaled(60, 10)):
            client = socket.create_connection(proxy.address, timeout=patience(20))
            server, _ = own_listener.accept()
            server.settimeout(patience(20))
            converse(client, server, turns)
            if number % 3 == 1:
                server.sendall(bytes(1000))
            elif number % 3 == 2:  # one way has ended, and goes on the other
                client.shutdown(socket.SHUT_WR)
                assert server.recv(1) == b""
            ends += [(client, True), (server, number % 3 != 2)]
        ends.append((socket.create_connection(proxy.address, timeout=patience(20)), True))
        proxy.signal(signal.SIGKILL)
        proxy.process.wait(patience(10))
        for sock, is_open in ends:
            with sock, pytest.raises(ConnectionResetError):
                while sock.recv(1 << 16):
                    pass
                if not is_open:  # it was told of that end before
                    raise ConnectionResetError
    with running_proxy(upstream, *option, "--name", proxy.name):
        pass  # clears away what was left


def test_ends_of_a_killed_program_with_a_splicer():
    """So with the sockets that were given to a Splicer."""
    client, a = tcp_pair()
    server, b = tcp_pair()
    with client, server:
        code = f"""if True:
            import os, signal, socket, sockproxy
            one, other = (socket.socket(fileno=fd) for fd in ({a.fileno()}, {b.fileno()}))
            with sockproxy.Splicer(relay=True) as splicer:
                splicer.splice(one, other)
                input()
                os.kill(os.getpid(), signal.SIGKILL)
        """
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, pass_fds=(a.fileno(), b.fileno())
        )
        a.close()
        b.close()
        client.sendall(b"first")
        assert receive(server, 5) == b"first"
        process.communicate(b"\n", patience(20))
        for sock in (client, server):
            with pytest.raises(ConnectionResetError):
                sock.recv(1)


def test_a_server_that_has_reset_before_they_are_paired_is_heard(proxy, listener):
    """It answers and resets as soon as it is connected to: as redis does when it is full."""
    for size in (0, 8, 60_000):
        for _ in range(ROUNDS):
            with socket.create_connection(proxy.address, timeout=patience(10)) as client:
                proxy_side, _ = listener.accept()
                proxy.signal(signal.SIGSTOP)  # before it has seen that it is connected, or after
                proxy_side.sendall(Pattern(size).at(0, size))
                reset(proxy_side)
                proxy.signal(signal.SIGCONT)
                check_stream(client, size)

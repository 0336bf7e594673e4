"""Unix sockets at either side of a proxy: every byte, how connections end, and who is told what."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct

import pytest

from tests.support.pattern import Checker, Pattern
from tests.support.proxy import pattern_server, run_flows, run_sockproxy, running_proxy, through
from tests.support.scale import patience, scaled
from tests.support.sockets import eventually, receive
from tests.support.unix import connect, unix_server

pytestmark = [pytest.mark.root, pytest.mark.bpf]

SIDES = {"unix-unix": (True, True), "unix-tcp": (True, False), "tcp-unix": (False, True)}
WHY = "one end is a Unix socket"
RESET = struct.pack("ii", 1, 0)


def place(folder, name):
    return f"unix:{folder}/{name}.sock"


@pytest.fixture(params=SIDES.values(), ids=SIDES)
def sides(request):
    """Whether the client's end, and the upstream's, is a Unix socket."""
    return request.param


@pytest.fixture
def listener(tmp_path, sides):
    """A listening socket of the upstream's kind, that a test accepts from by hand."""
    made = (
        unix_server(place(tmp_path, "up")) if sides[1] else socket.create_server(("127.0.0.1", 0))
    )
    with made as sock:
        sock.settimeout(patience(10))
        yield sock


@contextlib.contextmanager
def proxied(tmp_path, sides, listener, *options, **expected):
    upstream = (place(tmp_path, "up"), 0) if sides[1] else listener.getsockname()
    listen = place(tmp_path, "in") if sides[0] else "127.0.0.1:0"
    with running_proxy(upstream, *options, listen=listen, **expected) as proxy:
        yield proxy


@pytest.fixture
def proxy(tmp_path, sides, listener):
    with proxied(tmp_path, sides, listener) as proxy:
        yield proxy


# -- bytes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("option", [[], ["--eager"], ["--relay"]], ids=["auto", "eager", "relay"])
def test_every_byte_both_ways(tmp_path, sides, option):
    listen = place(tmp_path, "in") if sides[0] else "127.0.0.1:0"
    where = place(tmp_path, "up") if sides[1] else 0
    with (
        pattern_server(where) as upstream,
        running_proxy(upstream, *option, listen=listen) as proxy,
    ):
        assert not run_flows(proxy.address, count=3, up=5_000_000, down=7_000_000)
        for order in ("client", "server"):  # each half-closes first, and the other goes on
            assert not run_flows(proxy.address, count=5, up=300_000, down=500_000, order=order)
        assert not run_flows(
            proxy.address, count=2, up=400_000, down=400_000, writes=1000, nap=0.05
        )
        assert not run_flows(proxy.address, count=scaled(150, 30), up=2000, down=3000)
        status = proxy.settled()
        assert status["redirected"] == status["connections_reset"] == 0
        assert status["connections_refused"] == 0


def test_each_says_why_it_is_relayed(proxy, sides, listener):
    client, upstream = through(proxy, listener)
    with client, upstream:
        for number in range(20):  # a conversation, which the kernel would have had
            client.sendall(b"question %d" % number)
            assert receive(upstream, len(b"question %d" % number))
            upstream.sendall(b"answer")
            assert receive(client, 6) == b"answer"
        (pair,) = proxy.connections()
        for way in ("forward", "backward"):
            assert pair[way]["state"] == "pump"
            assert pair[way]["why"] == WHY or "relay" in pair[way]["why"]
            assert pair[way]["redirected"] == 0
        if sides[0]:
            assert pair["client"] == [f"unix:pid={os.getpid()},uid={os.getuid()}", 0]
            assert pair["client_local"] == list(proxy.address)
        if sides[1]:
            assert pair["upstream"] == [f"unix:{listener.getsockname()}", 0]
        table = run_sockproxy("connections", proxy.name).stdout
        assert WHY in table
        assert "unix:" in table
    assert WHY not in proxy.stderr()


def test_a_reader_that_is_slow_holds_its_sender_up(proxy, listener):
    client, upstream = through(proxy, listener)
    pattern, sent = Pattern(5), 0
    with client, upstream:
        client.settimeout(patience(0.5))
        with contextlib.suppress(TimeoutError):
            while sent < 64 << 20:
                sent += client.send(pattern.at(sent, 1 << 20))
        assert sent < 32 << 20  # what buffers take, and --budget
        client.shutdown(socket.SHUT_WR)
        checker = Checker(5)
        while part := upstream.recv(1 << 20):
            checker.feed(part)
        assert checker.offset == sent


def test_an_urgent_byte_stays_in_its_place(proxy, listener):
    client, upstream = through(proxy, listener)
    with client, upstream:
        upstream.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        client.sendall(b"before")
        client.send(b"!", socket.MSG_OOB)
        client.sendall(b"after")
        client.shutdown(socket.SHUT_WR)
        assert receive(upstream, 12) == b"before!after"
        assert upstream.recv(1) == b""


# -- ends ------------------------------------------------------------------------------------


def test_half_a_close_leaves_the_other_half(proxy, listener):
    for first, second in ((0, 1), (1, 0)):
        ends = through(proxy, listener)
        ends[first].sendall(b"last")
        ends[first].shutdown(socket.SHUT_WR)
        assert receive(ends[second], 4) == b"last"
        assert ends[second].recv(1) == b""
        ends[second].sendall(b"answer")
        assert receive(ends[first], 6) == b"answer"
        ends[second].close()
        assert ends[first].recv(1) == b""
        ends[first].close()
    assert proxy.settled()["connections_reset"] == 0


def told(sock):
    """What comes at the end of a stream."""
    try:
        return sock.recv(1)
    except ConnectionResetError:
        return "reset"


@pytest.mark.parametrize("size", [8, 60_000])
@pytest.mark.parametrize("closer", [0, 1], ids=["client", "upstream"])
def test_close_with_bytes_unread_is_a_reset(proxy, sides, listener, closer, size):
    """As on a Unix socket without a proxy. To a Unix socket it cannot be told, unless that has sent
    what the proxy has not read: what it gets is an end of stream."""
    ends = through(proxy, listener)
    one, other = ends[closer], ends[1 - closer]
    pattern = Pattern(7)
    other.sendall(b"never read")
    eventually(lambda: proxy.connections()[0]["backward" if closer == 0 else "forward"]["pumped"])
    one.sendall(pattern.at(0, size))
    one.close()
    assert receive(other, size) == pattern.at(0, size)
    assert told(other) == (b"" if sides[1 - closer] else "reset")
    other.close()
    assert proxy.settled()["connections_reset"] == 1
    proxy.says("reset by peer")


@pytest.mark.parametrize("closer", [0, 1], ids=["client", "upstream"])
def test_who_has_sent_what_nobody_reads_is_told_of_a_reset(proxy, listener, closer):
    """Also by a Unix socket: the proxy closes it with bytes unread."""
    ends = through(proxy, listener)
    one, other = ends[closer], ends[1 - closer]
    one.sendall(b"enough")
    other.settimeout(patience(0.5))
    with contextlib.suppress(TimeoutError):
        while True:
            other.send(bytes(1 << 20))
    one.close()
    other.settimeout(patience(10))
    assert receive(other, 6) == b"enough"
    assert told(other) == "reset"
    other.close()
    assert proxy.settled()["connections_reset"] == 1


@pytest.mark.parametrize(
    ("sides", "closer"), [((True, False), 1), ((False, True), 0)], indirect=["sides"]
)
def test_a_reset_of_tcp_ends_the_unix_side(proxy, listener, closer):
    ends = through(proxy, listener)
    one, other = ends[closer], ends[1 - closer]
    one.sendall(b"last words")
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    one.close()
    assert receive(other, 10) == b"last words"
    assert told(other) == b""
    other.close()
    assert proxy.settled()["connections_reset"] == 1


def test_who_writes_to_one_that_has_gone_is_told(proxy, sides, listener):
    client, upstream = through(proxy, listener)
    client.close()  # with nothing unread: an end of stream
    assert upstream.recv(1) == b""
    with upstream, pytest.raises((BrokenPipeError, ConnectionResetError)):
        eventually(lambda: upstream.send(b"x" * 1000) and False)
    proxy.settled()


def test_killed_it_ends_both_sides_and_another_has_its_place(tmp_path, sides, listener):
    with proxied(tmp_path, sides, listener, exit_code=-signal.SIGKILL) as proxy:
        client, upstream = through(proxy, listener)
        with client, upstream:
            proxy.signal(signal.SIGKILL)
            proxy.process.wait(patience(10))
            assert told(client) == (b"" if sides[0] else "reset")
            assert told(upstream) == (b"" if sides[1] else "reset")
    with proxied(tmp_path, sides, listener, "--name", proxy.name) as proxy:
        client, upstream = through(proxy, listener)
        client.close()
        upstream.close()


# -- who is told who the client is -----------------------------------------------------------


@pytest.mark.parametrize("sides", [(True, True), (True, False)], indirect=True)
@pytest.mark.parametrize(
    ("version", "preface"),
    [("v1", b"PROXY UNKNOWN\r\n"), ("v2", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")],
)
def test_a_client_without_an_address_is_told_as_unknown(
    tmp_path, sides, listener, version, preface
):
    with proxied(tmp_path, sides, listener, "--send-proxy", version) as proxy:
        client, upstream = through(proxy, listener)
        with client, upstream:
            client.sendall(b"hello")
            assert receive(upstream, len(preface) + 5) == preface + b"hello"


@pytest.mark.parametrize("sides", [(False, True)], indirect=True)
def test_a_client_of_tcp_is_told_to_a_unix_upstream(tmp_path, sides, listener):
    with proxied(tmp_path, sides, listener, "--send-proxy", "v1") as proxy:
        client, upstream = through(proxy, listener)
        with client, upstream:
            ports = client.getsockname()[1], proxy.address[1]
            line = b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n" % ports
            assert receive(upstream, len(line)) == line


def test_by_source_each_user_has_one_upstream(tmp_path):
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(unix_server(place(tmp_path, str(n)))) for n in range(4)]
        first, *others = [f"unix:{each.getsockname()}" for each in servers]
        more = [word for each in others for word in ("--upstream", each)]
        options = ("--balance", "source", *more)
        listen = place(tmp_path, "in")
        proxy = stack.enter_context(running_proxy((first, 0), *options, listen=listen))
        chosen = []
        for _ in range(6):
            with connect(proxy.address, patience(10)):
                (ready,) = select.select(servers, [], [], patience(10))[0]
                ready.accept()[0].close()
                chosen.append(ready)
        assert len(set(chosen)) == 1
        proxy.settled()

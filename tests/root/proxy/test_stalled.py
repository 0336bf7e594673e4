"""Readers that stall while the kernel moves the bytes: nobody polls, and no edge is missed."""

from __future__ import annotations

import contextlib
import random
import socket
import time

import pytest

import sockproxy
from tests.support.fake_system import calls
from tests.support.pattern import Checker, Pattern
from tests.support.scale import patience, scaled
from tests.support.sockets import eventually, receive, spliced, tcp_pair
from tests.support.stalled import Stream, pull_until_all_arrived, push_until_all_block

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("splice")]

LEAST = 4096  # bytes of budget


@pytest.fixture
def looks():
    """The moments at which the loop went round: to look at a backlog, or to try a redirect."""
    seen = []

    def wait(real, *arguments):
        seen.append(time.monotonic())
        return real(*arguments)

    with calls(epoll_wait=wait):
        yield seen


def nobody_looks(looks, seconds=0.4):
    """Whether it stays so; what is still on its way when the last byte is taken settles first."""
    before = len(looks)
    time.sleep(seconds)
    return len(looks) == before


def states(splice):
    stats = splice.stats()
    return [stats.forward.state, stats.backward.state]


@contextlib.contextmanager
def narrow(splicer, size):
    """As spliced(), with `size` bytes to send from, and for the two ends to receive in."""
    client, a = tcp_pair()
    server, b = tcp_pair()
    for sock in (a, b, client, server):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
    for sock in (client, server):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    with client, server:
        splice = splicer.splice(a, b)
        try:
            yield client, server, splice
        except Exception as error:
            error.add_note(f"the splice: {splice.stats()}")
            raise


@pytest.mark.parametrize("both", [False, True], ids=["one-way", "both-ways"])
@pytest.mark.parametrize("eager", [True, False], ids=["eager", "auto"])
def test_nobody_polls_a_stalled_reader(looks, eager, both):
    with (
        sockproxy.Splicer(eager=eager, budget=LEAST) as splicer,
        narrow(splicer, 16384) as (client, server, splice),
    ):
        converse(client, server, 0, 20)
        eventually(lambda: states(splice) == ["redirect"] * 2)
        streams = [Stream(1, client, server), Stream(2, server, client)][: 1 + both]
        for sock in (client, server):
            sock.setblocking(False)
        push_until_all_block(streams, quiet=patience(0.3))
        eventually(lambda: nobody_looks(looks), seconds=30)
        pull_until_all_arrived(streams)
        for sock in (client, server):
            sock.settimeout(patience(20))
        converse(client, server, 10_000, 600)
        eventually(lambda: "redirect" in states(splice), seconds=20)
        client.close()
        assert server.recv(1) == b""
        server.close()
        assert splice.wait(patience(20)).outcome == "finished"


def converse(client, server, seed, turns):
    for turn in range(turns):
        for source, target in ((client, server), (server, client)):
            message = Pattern(seed + turn).at(0, 100)
            source.sendall(message)
            assert receive(target, 100) == message


@pytest.mark.parametrize("eager", [True, False], ids=["eager", "auto"])
def test_no_edge_is_missed(eager):
    """Readers that stall at any byte and go on in steps of any size; nothing is sent after it,
    that would wake anybody."""
    rng = random.Random(13)
    with sockproxy.Splicer(eager=eager, budget=LEAST) as splicer:
        for turn in range(scaled(60, 20)):
            size = rng.choice([2048, 4608, 16384, 65536])
            with narrow(splicer, size) as (client, server, splice):
                converse(client, server, turn, 8)
                stall_and_go_on(client, server, turn, rng)
                client.close()
                assert server.recv(1) == b""
                server.close()
                assert splice.wait(patience(20)).outcome == "finished"


def stall_and_go_on(client, server, seed, rng):
    """Send what fits, or a little less, and read it all."""
    pattern, checker, sent = Pattern(seed), Checker(seed), 0
    client.setblocking(False)
    step = rng.choice([100, 1460, 10_000, 100_000])
    for pause in (0.001, 0.005, 0.02):
        with contextlib.suppress(BlockingIOError):
            while sent < 1 << 20:
                sent += client.send(pattern.at(sent, step))
        time.sleep(pause)  # for what the kernel still moves
    client.setblocking(True)
    step = rng.choice([1000, 3000, 50_000, 1 << 20])
    while checker.offset < sent:
        checker.feed(server.recv(step))


def test_many_stall_and_go_on_at_once():
    with (
        sockproxy.Splicer(eager=True, budget=LEAST) as splicer,
        contextlib.ExitStack() as stack,
    ):
        streams = []
        for number in range(scaled(60, 20)):
            client, server, _ = stack.enter_context(narrow(splicer, 8192))
            streams += [Stream(2 * number, client, server), Stream(2 * number + 1, server, client)]
            for sock in (client, server):
                sock.setblocking(False)
        for _ in range(3):
            # Between buffers of that size plain TCP moves 135 kB a second too, by the timer of
            # delayed acknowledgements, and the proxy's receive buffers grow to megabytes.
            push_until_all_block(streams, quiet=patience(0.2), most=400_000)
            pull_until_all_arrived(streams)


def test_a_stalled_reader_that_is_dropped():
    with sockproxy.Splicer(eager=True, budget=LEAST) as splicer:
        for _ in range(5):
            with narrow(splicer, 8192) as (client, server, splice):
                stream = Stream(1, client, server)
                client.setblocking(False)
                push_until_all_block([stream], quiet=patience(0.1))
                splice.drop("forward")
                client.shutdown(socket.SHUT_WR)
                arrived = 0
                while part := server.recv(1 << 16):
                    stream.checker.feed(part)
                    arrived += len(part)
                server.close()
                stats = splice.wait(patience(20)).forward
                assert arrived + stats.dropped == stream.sent


@pytest.mark.parametrize(("size", "turns"), [(8192, 3), (40_000, 30)])
def test_a_burst_longer_than_the_receive_buffer(size, turns):
    """The strparser takes it for a message that is too long, and would fail: EMSGSIZE."""
    with sockproxy.Splicer(eager=True) as splicer:
        client, a = tcp_pair()
        server, b = tcp_pair()
        for sock in (a, b):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        with client, server:
            splice = splicer.splice(a, b)
            checker = Checker(size)
            for turn in range(turns):
                converse(client, server, turn, 1)
                message = Pattern(size).at(checker.offset, 65_000)
                client.sendall(message)
                checker.feed(receive(server, len(message)))
            stats = splice.stats()
            client.close()
            assert server.recv(1) == b""
            server.close()
            assert splice.wait(patience(20)).outcome == "finished"
        assert stats.forward.redirected > 0


def test_a_stalled_reader_that_goes():
    """With a reset: the sender is told, though nobody looks."""
    with sockproxy.Splicer(eager=True, budget=LEAST) as splicer:
        for _ in range(5):
            with spliced(splicer) as (client, server, splice):
                client.setblocking(False)
                push_until_all_block([Stream(1, client, server)], quiet=patience(0.1))
                server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                server.close()
                client.settimeout(patience(20))
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
                assert splice.wait(patience(20)).outcome.startswith("connection reset")

"""Short-circuit: connections end as TCP lets them end, what went past the proxy before that."""

from __future__ import annotations

import socket
import time

import pytest

from sockproxy.doctor import versions
from tests.support.ends import (
    EndOfStream,
    Sender,
    answer_and_close,
    check_stream,
    end_and_reset,
    end_both_ways,
    send_and_reset,
    unread,
    urgent_byte,
)
from tests.support.pattern import Checker, Pattern
from tests.support.scale import scaled
from tests.support.short_circuit import EAGER, joined, past
from tests.support.sockets import eventually, receive

pytestmark = [
    pytest.mark.root,
    pytest.mark.bpf,
    pytest.mark.on("bypass"),
    pytest.mark.on("splice"),
    pytest.mark.alone,  # see Closes
]

ROUNDS = scaled(20, 3)
LARGEST = 300_000  # bytes: more than the budget of a bypass
LARGE = 50_000  # bytes of a message that a reader was seen to take at once


# What a bypass queue holds counts in sk_rmem_alloc since Linux 6.13. By that the proxy knows that
# an end has closed with bytes unread; else it passes on the FIN that it has got.
KNOWS_UNREAD = versions.upstream() >= (6, 13)


class Closes:
    """Trials in which an end closes with bytes unread, which TCP makes a RST. Where a thread is
    kept from its core in the midst of close(2) its queue may be freed before anybody looks."""

    def __init__(self):
        self.trials = self.ends = 0

    def __call__(self, trial, *arguments, **options):
        self.trials += 1
        try:
            trial(*arguments, **options)
        except EndOfStream as end:
            if not end.whole:
                raise
            self.ends += 1

    def check(self):
        """All but one, for that."""
        assert not KNOWS_UNREAD or self.ends <= 1, f"{self.ends} of {self.trials} with a FIN"


@pytest.fixture
def closes():
    made = Closes()
    yield made
    made.check()


@pytest.fixture(scope="module", params=[(), EAGER], ids=["auto", "eager"])
def mesh(shared, request):
    with past(*request.param) as mesh:
        yield mesh


@pytest.mark.parametrize("who", ["client", "server"])
def test_one_way_ends_and_the_other_goes_on(mesh, who):
    """What went past the proxy comes before the end, and what comes by TCP behind it."""
    for number in range(ROUNDS):
        with joined(mesh, size=LARGE) as (client, server):
            one, other = (client, server) if who == "client" else (server, client)
            one.sendall(b"last")
            one.shutdown(socket.SHUT_WR)
            if number % 2:  # it is read before what the other says
                assert receive(other, 4) == b"last"
                assert other.recv(1) == b""
            pattern, checker = Pattern(number), Checker(number)
            for turn in range(50):
                other.sendall(pattern.at(1000 * turn, 1000))
                if number % 3:
                    checker.feed(receive(one, 1000))
            if not number % 2:
                assert receive(other, 4) == b"last"
                assert other.recv(1) == b""
            other.shutdown(socket.SHUT_WR)
            while checker.offset < 50_000:
                checker.feed(receive(one, 50_000 - checker.offset))
            assert one.recv(1) == b""


@pytest.mark.parametrize("size", [0, 8, 1000, 60_000, 300_000])
@pytest.mark.parametrize("who", ["client", "server"])
def test_what_was_sent_before_a_reset_arrives(mesh, who, size):
    for _ in range(ROUNDS):
        with joined(mesh, size=LARGE) as (client, server):
            one, other = (client, server) if who == "client" else (server, client)
            send_and_reset(one, other, size)


@pytest.mark.parametrize("size", [0, 8, 60_000, 300_000])
def test_an_answer_before_a_reset_arrives(mesh, closes, size):
    """The server closes with an upload unread."""
    for _ in range(ROUNDS):
        with joined(mesh, size=LARGE) as (client, server):
            closes(answer_and_close, client, server, size)


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_request_that_is_never_read_ends_in_a_reset(mesh, closes, who):
    """It lies in a bypass queue, which TCP does not look into as it closes."""
    for _ in range(ROUNDS):
        with joined(mesh, size=LARGE) as (client, server):
            one, other = (client, server) if who == "client" else (server, client)
            one.sendall(b"request")
            time.sleep(0.001)
            other.close()
            closes(check_stream, one, 0)


@pytest.mark.parametrize("trial", [end_both_ways, end_and_reset])
@pytest.mark.parametrize("size", [8, 10_000, 300_000])
def test_ends_in_order(mesh, trial, size):
    for _ in range(ROUNDS):
        with joined(mesh, size=LARGE) as (client, server):
            trial(client, server, size)


@pytest.mark.parametrize("inline", [False, True], ids=["out of band", "inline"])
@pytest.mark.parametrize("end", [False, True], ids=["goes on", "ends"])
def test_an_urgent_byte_stays_where_it_was(mesh, inline, end):
    sizes = [(0, 0), (0, 1000), (3, 1), (3, 1000), (3, 300_000), (300_000, 3)]
    for number, (before, after) in enumerate(sizes * 4):
        with joined(mesh, size=LARGE) as (client, server):
            one, other = (client, server) if number % 2 else (server, client)
            urgent_byte(one, other, before=before, after=after, inline=inline, end=end)


@pytest.mark.parametrize("trial", [send_and_reset, end_and_reset, end_both_ways, answer_and_close])
def test_it_ends_as_it_is_joined(mesh, closes, trial):
    """So many turns before that, and both readers have granted at about then."""
    for number in range(5 * ROUNDS):
        client, server = mesh.connect()
        with client, server:
            one, other = (client, server)
            if number % 2 and trial is not answer_and_close:
                one, other = other, one
            closes(trial, one, other, (8, 3000)[number % 3 == 0], turns=number % 10)


def test_urgent_bytes_as_it_is_joined(mesh):
    for number in range(5 * ROUNDS):
        client, server = mesh.connect()
        with client, server:
            one, other = (client, server) if number % 2 else (server, client)
            urgent_byte(one, other, turns=number % 10, inline=number % 3 == 0, end=number % 4 == 0)


def test_a_request_ends_while_its_answer_is_unread(mesh):
    """It is not closed: that its socket has left the sockmap, and holds bytes of TCP, is no queue
    that was left unread."""
    size = 2_000_000
    for _ in range(ROUNDS):
        client, server = mesh.connect()
        with client, server:
            for _ in range(10):
                client.sendall(bytes(100))
                receive(server, 100)
                server.sendall(bytes(LARGEST))  # never past the proxy
                receive(client, LARGEST)
            with Sender(server, size):
                eventually(lambda sock=client: unread(sock) > 50_000)
                client.shutdown(socket.SHUT_WR)
                time.sleep(0.001)
                checker = Checker(size)
                while checker.offset < size:
                    checker.feed(receive(client, min(1 << 16, size - checker.offset)))
            assert server.recv(1) == b""
            server.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""

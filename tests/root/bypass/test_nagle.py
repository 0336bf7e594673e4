"""A bypassed answer acknowledges nothing: what follows is not to be left to Nagle's algorithm,
which would hold it back until the timer of delayed acknowledgements, 40 ms."""

from __future__ import annotations

import contextlib
import select
import socket
import time

import pytest

from sockproxy.bypass.attach import attach
from sockproxy.bypass.detach import detach
from sockproxy.bypass.options import BypassOptions
from tests.support.bypass import NAME
from tests.support.sockets import receive, seen_waiting, tcp_pair

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass")]

HELD_BACK = 0.035  # seconds: none but the timer takes so long each time
TRIES = 5  # a busy machine takes long now and then, and not at the same turn
TURNS = 40
SIZES = {
    "even": [23] * TURNS,
    "growing": [20 + 37 * turn for turn in range(TURNS)],
    "now and then larger": ([20] * 5 + [3000] + [20] * 3 + [9000]) * (TURNS // 10),
    "larger and larger": [20] * 10 + [turn * 900 if turn % 2 else 20 for turn in range(TURNS - 10)],
}


def nagle(pair):
    for sock in pair:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)


def slow_turns(one, other, sizes, answer):
    """Which turns of a conversation took as long as the timer."""
    slow = set()
    for turn, size in enumerate(sizes):
        began = time.monotonic()
        for source, target, count in ((one, other, size), (other, one, answer or size)):
            source.sendall(b"x" * count)
            select.select([target], [], [])
            receive(target, count)
        if time.monotonic() - began > HELD_BACK:
            slow.add(turn)
    return slow


def held_back(anew, make, sizes, answer):
    """Turns that were slow each time, with a bypass that remembers nothing of the time before."""
    always = set(range(TURNS))
    for _ in range(TRIES):
        with anew():
            client, server = make()
            with client, server:
                always &= slow_turns(client, server, sizes, answer)
        if not always:
            break
    return always


@pytest.fixture(params=["plain", "bypassed"])
def anew(request, group):
    @contextlib.contextmanager
    def attached():
        attach(NAME, group.path, BypassOptions(blocking_readers=True, any_reader=True))
        try:
            yield
        finally:
            detach(NAME, 10)

    return contextlib.nullcontext if request.param == "plain" else attached


@pytest.mark.parametrize("nodelay", ["neither", "server"])
@pytest.mark.parametrize("answer", [0, 5])
@pytest.mark.parametrize("sizes", SIZES)
def test_no_turn_is_held_back(anew, sizes, answer, nodelay):
    def make():
        client, server = tcp_pair()
        nagle([client, server] if nodelay == "neither" else [client])
        return client, server

    assert not held_back(anew, make, SIZES[sizes], answer)


def test_none_of_a_server_that_polls(anew):
    """It is seen waiting now and then: so its client's requests go either way."""

    def make():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = seen_waiting(socket.create_connection(listener.getsockname(), 20))
            server, _ = listener.accept()
        server.settimeout(20)
        return client, server

    assert not held_back(anew, make, SIZES["even"], 5)


def test_a_long_conversation_skips_tcp(bypassed_messages):
    """Though both ends have Nagle's algorithm."""
    pair = tcp_pair()
    nagle(pair)
    with pair[0], pair[1]:
        for _ in range(4):
            slow_turns(*pair, SIZES["even"], 0)
    assert bypassed_messages() > 0

"""Readers are told as TCP tells them: one event may stand for what was bypassed and for what came
by TCP behind it, and who takes a short read for all that there is waits for ever."""

from __future__ import annotations

import pytest

from tests.support.bypass import connections
from tests.support.readers import HABITS, serving
from tests.support.sockets import receive, tcp_client

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass"), pytest.mark.timeout(120)]

TURNS, ROUNDS, CONNECTIONS = 10, 4, 3
SMALL, HEAD, BODY = 100, 200, 10_000
# They are promised an edge, and take a short read for all that there is.
UNFIT = {"edge", "late-edge", "once-edge", "nested", "two-sets", "signals", "late-registration"}
BYPASSED = {"level", "once-level", "poll", "select"}


def message(size):
    return size.to_bytes(4) + bytes([size % 251]) * size


def ask(sock, *sizes):
    """All are answered, or this times out."""
    for size in sizes:
        sock.sendall(message(size))
    assert receive(sock, len(sizes)) == b"!" * len(sizes)


def states(port):
    """What is told of the reader's end and of ours."""
    return [
        (each["state"], each["why"])
        for each in connections().values()
        if f":{port}" in each["local"] + each["remote"]
    ]


@pytest.mark.parametrize("habit", HABITS)
def test_reader_finds_what_lies_behind(bypassed_messages, habit, request):
    with serving("readers", habit) as port:
        for _ in range(CONNECTIONS):
            with tcp_client(port) as sock:
                for number in range(1, ROUNDS + 1):
                    for _ in range(TURNS):
                        ask(sock, SMALL)
                    # The second is larger than what was ever read at once, and goes by TCP.
                    ask(sock, HEAD, BODY * number)
                if habit in UNFIT and request.node.callspec.params["bypassed_messages"] != "plain":
                    ask(sock, SMALL)
                    assert {state for state, _ in states(port)} <= {"plain", "passing"}
                    assert all(
                        "EPOLLET" in why or "level-triggered" in why for _, why in states(port)
                    ), states(port)
    if habit in BYPASSED:
        assert bypassed_messages() > 0

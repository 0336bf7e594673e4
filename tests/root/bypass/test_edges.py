"""Readers are told as TCP tells them: one event may stand for what was bypassed and for what came
by TCP behind it, and who takes a short read for all that there is waits for ever."""

from __future__ import annotations

import pytest

from tests.support.bypass import connections
from tests.support.proxy import running_proxy
from tests.support.readers import HABITS, serving
from tests.support.short_circuit import EAGER, SAYS
from tests.support.sockets import receive, tcp_client

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass"), pytest.mark.timeout(120)]

TURNS, ROUNDS, CONNECTIONS = 10, 4, 3
SMALL, HEAD, BODY = 100, 200, 10_000
# They are promised an edge, and take a short read for all that there is.
UNFIT = {"edge", "late-edge", "once-edge", "nested", "two-sets", "signals", "late-registration"}
BYPASSED = {"level", "once-level", "poll", "select"}
PAST = ("level", "poll", "edge", "late-edge", "draining-edge", "nested", "signals", "late-copier")


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


def converse(sock):
    """Small messages, and then two at once of which the second is larger than what was ever read at
    once, and goes by TCP; again and again."""
    for number in range(1, ROUNDS + 1):
        for _ in range(TURNS):
            ask(sock, SMALL)
        ask(sock, HEAD, BODY * number)


@pytest.mark.parametrize("habit", HABITS)
def test_reader_finds_what_lies_behind(bypassed_messages, habit, request):
    with serving("readers", habit) as port:
        for _ in range(CONNECTIONS):
            with tcp_client(port) as sock:
                converse(sock)
                if habit in UNFIT and request.node.callspec.params["bypassed_messages"] != "plain":
                    ask(sock, SMALL)
                    assert {state for state, _ in states(port)} <= {"plain", "passing"}
                    assert all(
                        "EPOLLET" in why or "level-triggered" in why for _, why in states(port)
                    ), states(port)
    if habit in BYPASSED:
        assert bypassed_messages() > 0


@pytest.mark.on("splice")
@pytest.mark.parametrize("habit", PAST)
def test_reader_past_a_proxy(bypassed, habit):
    """What goes by TCP comes later than between two ends: by way of the proxy."""
    with serving("readers", habit) as port, running_proxy(("127.0.0.1", port), *EAGER) as proxy:
        proxy.says(SAYS)
        for _ in range(CONNECTIONS):
            with tcp_client(proxy.address[1]) as sock:
                converse(sock)
                if habit in UNFIT:
                    assert {state for state, _ in states(port)} <= {"plain", "passing"}
        if habit in BYPASSED:
            assert proxy.status()["short_circuited"]

"""What a bypass that only observes tells of services: whether one would gain something."""

from __future__ import annotations

import socket
import threading

import pytest

from tests.support.bypass import NAME, sockproxy, status
from tests.support.scale import patience, scaled
from tests.support.sockets import eventually, receive

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.timeout(120)]


@pytest.fixture(params=["127.0.0.1", "::1"])
def server(request):
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server((request.param, 0), family=family) as sock:
        yield sock


def connected(server):
    """A client's socket, and the accepted one."""
    client = socket.create_connection(server.getsockname()[:2], timeout=patience(20))
    accepted, _ = server.accept()
    accepted.settimeout(patience(20))
    return client, accepted


def row(server):
    """What is told of that service; None where nothing is."""
    place = list(server.getsockname()[:2])
    found = [each for each in status()["services"] if each["service"] == place]
    return found[0] if found else None


def ask(client, accepted, times, question=10, answer=1000):
    for _ in range(times):
        client.sendall(b"?" * question)
        receive(accepted, question)
        accepted.sendall(b"!" * answer)
        receive(client, answer)


def stream(client, accepted, size):
    writer = threading.Thread(target=client.sendall, args=(b"." * size,))
    writer.start()
    receive(accepted, size)
    writer.join()


def close(*socks):
    for sock in socks:
        sock.close()


def test_requests(attached, server):
    """Of connections that live, and of those that have ended: the same."""
    times = scaled(100, 20)
    pairs = [connected(server) for _ in range(2)]
    for client, accepted in pairs:
        ask(client, accepted, times)
    live = row(server)
    assert live["gain"] == "requests"
    assert (live["connections"], live["paired"], live["bytes"]) == (2, 2, 2 * times * 1010)
    assert 2 * (times - 2) <= live["answers"] <= 2 * times
    for client, accepted in pairs:
        close(client, accepted)
    eventually(lambda: status()["closed"] == 4)
    ended = row(server)
    assert {**ended, "answers": 0} == {**live, "answers": 0}
    assert live["answers"] <= ended["answers"] <= 2 * times
    shown = sockproxy("status", NAME)
    assert "A BYPASS WOULD GAIN" in shown
    assert "requests" in shown


def test_short_ones(attached, server):
    for _ in range(5):
        client, accepted = connected(server)
        ask(client, accepted, 1)
        close(client, accepted)
    eventually(lambda: row(server) and row(server)["connections"] == 5)
    assert row(server)["gain"] in ("short", "unknown")


@pytest.mark.parametrize("uploads", [True, False])
def test_streams(attached, server, uploads):
    client, accepted = connected(server)
    ask(client, accepted, 2)
    stream(*((client, accepted) if uploads else (accepted, client)), scaled(20_000_000))
    assert row(server)["gain"] == "streams"
    close(client, accepted)
    eventually(lambda: status()["closed"] == 2)
    assert row(server)["gain"] == "streams"


def test_those_whose_other_end_is_not_in_it(attached, server):
    sockproxy("attach", NAME, "--cgroup", attached.path, "--observe", "--deny", "1-65535")
    client, accepted = connected(server)
    ask(client, accepted, 10)
    assert row(server) == {
        "service": list(server.getsockname()[:2]),
        "connections": 1,
        "paired": 0,
        "bytes": 0,
        "answers": 0,
        "gain": "apart",
    }
    close(client, accepted)


def test_what_bypasses_has_nothing_to_tell(bypassed, server):
    client, accepted = connected(server)
    ask(client, accepted, 10)
    close(client, accepted)
    assert status()["services"] == []

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


def counts(server):
    """Connections by what there was to gain: apart, brief, streams, requests."""
    found = row(server)
    by_gain = tuple(found[each] for each in ("apart", "brief", "streams", "requests"))
    assert sum(by_gain) == found["connections"]
    return by_gain


def test_requests(attached, server):
    """Of connections that live, and of those that have ended: the same."""
    times = scaled(100, 20)
    pairs = [connected(server) for _ in range(2)]
    for client, accepted in pairs:
        ask(client, accepted, times)
    live = row(server)
    assert counts(server) == (0, 0, 0, 2)
    assert live["bytes"] == 2 * times * 1010
    assert 2 * (times - 2) <= live["answers"] <= 2 * times
    for client, accepted in pairs:
        close(client, accepted)
    eventually(lambda: status()["closed"] == 4)
    ended = row(server)
    assert {**ended, "answers": 0} == {**live, "answers": 0}
    assert live["answers"] <= ended["answers"] <= 2 * times
    assert "WOULD GAIN" in sockproxy("status", NAME)


def test_each_connection_is_judged_by_itself(attached, server):
    """A pool, those that look whether the service is well, and a backup."""
    client, accepted = connected(server)
    ask(client, accepted, 20)
    backup, sends = connected(server)
    ask(backup, sends, 2)
    stream(sends, backup, scaled(20_000_000))
    for _ in range(5):
        brief, other = connected(server)
        ask(brief, other, 1)
        close(brief, other)
    eventually(lambda: status()["closed"] == 10)
    assert counts(server) == (0, 5, 1, 1)
    close(client, accepted, backup, sends)
    eventually(lambda: status()["closed"] == 14)
    assert counts(server) == (0, 5, 1, 1)


@pytest.mark.parametrize("uploads", [True, False])
def test_streams(attached, server, uploads):
    client, accepted = connected(server)
    ask(client, accepted, 2)
    stream(*((client, accepted) if uploads else (accepted, client)), scaled(20_000_000))
    assert counts(server) == (0, 0, 1, 0)
    close(client, accepted)
    eventually(lambda: status()["closed"] == 2)
    assert counts(server) == (0, 0, 1, 0)


def test_those_whose_other_end_is_not_in_it(attached, server):
    sockproxy("attach", NAME, "--cgroup", attached.path, "--observe", "--deny", "1-65535")
    client, accepted = connected(server)
    ask(client, accepted, 10)
    assert counts(server) == (1, 0, 0, 0)
    close(client, accepted)


def test_only_what_began_while_it_observed(bypassed, server):
    client, accepted = connected(server)
    ask(client, accepted, 10)
    assert status()["services"] == []
    sockproxy("attach", NAME, "--cgroup", bypassed.path, "--observe")
    ask(client, accepted, 10)
    assert status()["services"] == []
    client2, accepted2 = connected(server)
    ask(client2, accepted2, 10)
    assert counts(server) == (0, 0, 0, 1)
    sockproxy("attach", NAME, "--cgroup", bypassed.path)
    ask(client2, accepted2, 10)
    close(client, accepted, client2, accepted2)
    eventually(lambda: status()["live"] == 0)
    assert counts(server) == (0, 0, 0, 1)

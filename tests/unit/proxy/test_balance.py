"""Whose turn it is, of several upstreams."""

from __future__ import annotations

import socket
from collections import Counter

import pytest

from sockproxy.proxy.pool import Pool
from tests.support.proxy_thread import Running, host
from tests.support.scale import patience
from tests.support.sockets import eventually, receive


def served(running, servers, source="127.0.0.1"):
    """A client of that host: its connection, and by which server it is served."""
    where = running.proxy.listening[0].sockaddr
    client = socket.create_connection(where, patience(10), source_address=(source, 0))
    number = running.ready_of(servers)
    upstream, _ = servers[number].accept()
    client.sendall(b"?")
    assert receive(upstream, 1) == b"?"
    return number, client, upstream


def close(pairs):
    for _, client, upstream in pairs:
        client.close()
        upstream.close()


def balanced(servers, balance, **options):
    return Running(map(host, servers), balance=balance, **options)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_one_with_the_fewest_clients_is_next(servers, workers):
    with balanced(servers, "least-connections", workers=workers) as running:
        first = [served(running, servers) for _ in range(9)]
        assert Counter(number for number, _, _ in first) == {0: 3, 1: 3, 2: 3}
        for number, client, upstream in first:
            if number == 1:
                client.close()
                upstream.close()
        eventually(lambda: running.proxy.clients.count == 6)
        more = [served(running, servers) for _ in range(3)]
        assert [number for number, _, _ in more] == [1, 1, 1]
        close(first + more)
        eventually(lambda: running.proxy.clients.count == 0)
        last = [served(running, servers) for _ in range(3)]  # all are equal again
        assert {number for number, _, _ in last} == {0, 1, 2}
        close(last)


def test_one_that_refuses_is_not_thought_to_be_free(servers):
    """Nor is a client counted there that went on to another."""
    gone = host(servers[2])
    servers.pop().close()
    with Running([*map(host, servers), gone], balance="least-connections") as running:
        pairs = [served(running, servers) for _ in range(8)]
        assert Counter(number for number, _, _ in pairs) == {0: 4, 1: 4}
        close(pairs)


def test_one_that_goes_and_comes_again_has_its_clients_still(servers):
    with balanced(servers[:2], "least-connections") as running:
        pairs = [served(running, servers) for _ in range(6)]
        upstreams = running.proxy.services[0].upstreams
        upstreams.change(Pool((host(servers[0]),)))
        upstreams.change(Pool(tuple(map(host, servers[:2]))))
        number, *_ = pair = served(running, servers)
        pairs.append(pair)
        pairs.append(served(running, servers))
        assert {number, pairs[-1][0]} == {0, 1}
        upstreams.change(Pool((host(servers[0]),)))
        close(pairs)
        eventually(lambda: running.proxy.clients.count == 0)
        upstreams.change(Pool(tuple(map(host, servers[:2]))))
        again = [served(running, servers) for _ in range(4)]
        assert Counter(number for number, _, _ in again) == {0: 2, 1: 2}
        close(again)


def test_clients_of_one_host_have_one_server(servers):
    with balanced(servers, "source") as running:
        hosts = [f"127.0.1.{number}" for number in range(1, 25)]
        where = {}
        for _ in range(3):
            for each in hosts:
                number, client, upstream = served(running, servers, each)
                client.close()
                upstream.close()
                assert where.setdefault(each, number) == number
        counts = Counter(where.values())
        assert set(counts) == {0, 1, 2}
        assert max(counts.values()) < 18


def test_when_a_server_goes_the_clients_of_others_stay(servers):
    with balanced(servers, "source") as running:
        hosts = [f"127.0.1.{number}" for number in range(1, 25)]

        def places():
            found = {}
            for each in hosts:
                found[each], client, upstream = served(running, servers, each)
                client.close()
                upstream.close()
            return found

        before = places()
        running.proxy.services[0].upstreams.change(Pool(tuple(map(host, servers[:2]))))
        after = places()
        assert all(after[each] == number for each, number in before.items() if number < 2)
        assert set(after.values()) == {0, 1}


def test_in_turn_by_itself(servers):
    with Running(map(host, servers)) as running:
        assert [running.serve_one(*servers) for _ in range(6)] == [0, 1, 2, 0, 1, 2]

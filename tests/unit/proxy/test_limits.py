"""Upstreams that have weights, that are full, that are drained, and that are down: by clients of a
proxy that serves."""

from __future__ import annotations

import contextlib
import select
import socket
from collections import Counter

import pytest

from sockproxy.proxy.control import status_report
from sockproxy.proxy.pool import Health, Pool
from tests.support.pattern import Pattern
from tests.support.proxy_thread import Running, host
from tests.support.scale import patience
from tests.support.sockets import eventually, receive, reset


class Limited(Running):
    """One that is asked as `status` asks."""

    def __init__(self, *upstreams, **options):
        super().__init__(upstreams, **options)
        self._open = contextlib.ExitStack()

    def __exit__(self, *args):
        self._open.close()
        super().__exit__(*args)

    def client(self):
        return self._open.enter_context(self.connect())

    def waiting_client(self, number):
        """One that waits for a place, as the one of that number: not side by side with another."""
        client = self.client()
        eventually(lambda: self.service()["waiting"] == number)
        return client

    def accepted(self, server):
        server.settimeout(patience(20))
        upstream = self._open.enter_context(server.accept()[0])
        upstream.settimeout(patience(20))
        return upstream

    def service(self):
        (service,) = status_report(self.proxy)["services"]
        return service

    def rows(self, *names):
        return [tuple(each[name] for name in names) for each in self.service()["upstreams"]]

    def change(self, *upstreams, **pool):
        loop = self.proxy.worker.loop
        loop.do(lambda: self.proxy.services[0].upstreams.change(Pool(upstreams, **pool)))


def talk(client, upstream, text=b"?"):
    client.sendall(text)
    assert receive(upstream, len(text)) == text


# -- weights ---------------------------------------------------------------------------------


def test_turns_are_spread_by_weight(servers):
    a, b, c = servers
    with Limited(host(a, weight=5), host(b), host(c)) as running:
        got = [running.serve_one(a, b, c) for _ in range(14)]
        assert got == [0, 1, 0, 0, 2, 0, 0] * 2
        assert running.rows("weight", "weight_now", "chosen") == [
            (5, 5.0, 10), (1, 1.0, 2), (1, 1.0, 2),
        ]  # fmt: skip
        running.change(host(a), host(b, weight=2), host(c, weight=0))
        got = Counter(running.serve_one(a, b, c) for _ in range(30))
        assert got == {0: 10, 1: 20}


def test_one_that_is_drained_keeps_its_clients(servers):
    a, b, _ = servers
    with Limited(host(a), host(b)) as running:
        client, upstream = running.client(), running.accepted(a)
        talk(client, upstream)
        running.change(host(a, weight=0), host(b))
        assert [running.serve_one(a, b) for _ in range(4)] == [1] * 4
        assert running.rows("state", "clients")[0] == ("draining", 1)
        talk(client, upstream, b"still")
        running.change(host(b))
        assert running.rows("state", "clients")[1] == ("gone", 1)
        talk(client, upstream, b"still")


def test_when_all_are_drained_that_is_said(servers):
    with Limited(host(servers[0], weight=0)) as running:
        with pytest.raises(ConnectionResetError), running.connect() as client:
            client.recv(1)
        eventually(lambda: running.told("no upstream takes new clients"))


# -- limits ----------------------------------------------------------------------------------


@pytest.mark.parametrize("balance", ["round-robin", "least-connections", "source"])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_client_goes_to_another_where_one_is_full(servers, balance, workers):
    a, b, _ = servers
    with Limited(host(a, most=2), host(b), balance=balance, workers=workers) as running:
        for _ in range(12):
            running.client()
        eventually(lambda: sum(clients for (clients,) in running.rows("clients")) == 12)
        (few, state), (many, _) = running.rows("clients", "state")
        assert few <= 2
        assert many == 12 - few
        if balance != "source":
            assert (few, state) == (2, "full")


@pytest.mark.parametrize("workers", [1, 3])
def test_those_who_wait_for_a_place_have_it_in_their_order(servers, workers):
    a, *_ = servers
    with Limited(host(a, most=1), workers=workers) as running:
        first, upstream = running.client(), running.accepted(a)
        waiting = []
        for number in range(5):
            waiting.append(running.client())
            waiting[-1].sendall(b"%d" % number)
            eventually(lambda number=number: running.service()["waiting"] == number + 1)
        assert running.rows("state", "clients", "max_connections") == [("full", 1, 1)]
        assert not select.select([a], [], [], 0.1)[0]
        first.close()
        upstream.close()
        for number, client in enumerate(waiting):
            upstream = running.accepted(a)
            assert receive(upstream, 1) == b"%d" % number
            assert not select.select([a], [], [], 0.02)[0]
            client.close()
            upstream.close()
        eventually(lambda: running.proxy.clients.count == 0)
        assert running.rows("clients") == [(0,)]


def test_one_that_waits_for_too_long_is_reset_and_told(servers):
    a, *_ = servers
    with Limited(host(a, most=1), connect_timeout=0.3) as running:
        client, upstream = running.client(), running.accepted(a)
        with pytest.raises(ConnectionResetError):
            running.client().recv(1)
        eventually(lambda: running.told("had as many clients as they may have, for 0.3 s"))
        assert running.service()["waiting"] == 0
        talk(client, upstream)


@pytest.mark.parametrize("workers", [1, 3])
def test_those_who_wait_are_reset_when_the_proxy_ends(servers, workers):
    a, *_ = servers
    with Limited(host(a, most=1), workers=workers, connect_timeout=patience(60)) as running:
        running.client()
        running.accepted(a)
        waiting = [running.client() for _ in range(4)]
        eventually(lambda: running.service()["waiting"] == 4)
        running.proxy.stop()
        running.proxy.stop()
        running.thread.join(patience(20))
        running.proxy.close()
        for client in waiting:
            with pytest.raises(ConnectionResetError):
                client.recv(1)


def test_a_limit_that_is_raised_lets_those_in_who_wait(servers):
    a, b, _ = servers
    with Limited(host(a, most=1)) as running:
        running.client()
        running.accepted(a)
        second, third = running.waiting_client(1), running.waiting_client(2)
        running.change(host(a, most=2))
        talk(second, running.accepted(a))
        running.change(host(a, most=2), host(b))
        talk(third, running.accepted(b))


def test_a_place_of_one_that_refuses_is_not_lost(servers):
    """Who waited for it goes on to another, or is refused; the place is the next one's."""
    a, *_ = servers
    with Limited(host(a, most=1)) as running:
        first, upstream = running.client(), running.accepted(a)
        second = running.client()
        eventually(lambda: running.service()["waiting"] == 1)
        address = a.getsockname()
        a.close()
        first.close()
        upstream.close()
        with pytest.raises(ConnectionResetError):
            second.recv(1)
        with socket.create_server(address) as again:
            assert running.serve_one(again) == 0
        eventually(lambda: running.rows("clients") == [(0,)])


# -- checks ----------------------------------------------------------------------------------


def served(running, *servers):
    """Whose client one is, among connections of checks; a client speaks first."""
    with running.connect() as client:
        client.sendall(b"?")
        while True:
            (ready, *_) = select.select(servers, [], [], patience(20))[0]
            upstream, _ = ready.accept()
            with upstream, contextlib.suppress(ConnectionResetError):
                upstream.settimeout(patience(20))
                if upstream.recv(1) == b"?":
                    return servers.index(ready)


@pytest.mark.parametrize("balance", ["round-robin", "least-connections", "source"])
def test_one_that_is_down_has_no_clients_until_it_is_up(servers, balance):
    a, b, _ = servers
    other, address = host(b), b.getsockname()
    b.close()
    often = Health(interval=0.05, timeout=patience(10))
    with Limited(host(a), other, health=often, balance=balance) as running:
        eventually(lambda: running.rows("state") == [("up",), ("down",)])
        assert running.rows("why")[1] == ("connection refused",)
        before = running.rows("chosen")[1]
        assert [served(running, a) for _ in range(4)] == [0] * 4
        assert running.rows("chosen")[1] == before
        with socket.create_server(address) as again:
            eventually(lambda: running.rows("state") == [("up",), ("up",)])
            got = {served(running, a, again) for _ in range(6)}
            assert got == {0, 1} or balance == "source"
        eventually(lambda: running.told("is down: connection refused"))
        running.has_told("is up again")


def test_when_all_are_down_they_are_tried_all_the_same(servers):
    """They accept, and answer no check."""
    a, b, _ = servers
    how = Health(interval=0.05, timeout=0.05, expect=b"never")
    with Limited(host(a), host(b), health=how) as running:
        eventually(lambda: running.rows("state") == [("down",)] * 2)
        assert running.rows("why") == [("no answer in 0.05 s",)] * 2
        assert {served(running, a, b) for _ in range(6)} == {0, 1}
        running.has_told("are down: they are tried all the same")


# -- no second try -------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [0, 1, 100_000])
def test_one_whose_upstream_fails_is_told_and_not_tried_elsewhere(servers, sent):
    """Once it is connected it is that upstream's, though no byte may have gone there yet."""
    a, b, _ = servers
    with Limited(host(a), host(b)) as running:
        client, upstream = running.client(), running.accepted(a)
        client.sendall(Pattern(1).at(0, sent))
        assert receive(upstream, sent // 2) == Pattern(1).at(0, sent // 2)
        reset(upstream)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        assert not select.select([b], [], [], 0.2)[0]
        assert running.rows("chosen") == [(1,), (0,)]

"""Which upstream gets which client: refusals, black holes, names that move, and loops."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import threading

import pytest

from sockproxy.errors import UsageError
from sockproxy.net.address import Address, Host, parse_address, parse_host
from sockproxy.proxy import member, resolver
from sockproxy.proxy.pool import Upstream
from tests.support.fake_system import calls
from tests.support.proxy_thread import Running, host
from tests.support.scale import patience
from tests.support.servers import free_port
from tests.support.sockets import eventually


@pytest.fixture
def servers():
    """Three listeners."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]


@pytest.fixture
def refusing():
    """An address at which nobody listens, and which nobody else takes."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield host(sock)


class BlackHole:
    """A listener whose queue is full: the kernel drops what comes to connect."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.waiting = [socket.socket() for _ in range(4)]
        for sock in self.waiting:
            sock.setblocking(False)
            sock.connect_ex(self.listener.getsockname())
        eventually(lambda: select.select([], self.waiting[:1], [], 0)[1])

    def answer(self):
        """From now on it serves."""
        for sock in self.waiting:
            sock.close()
        self.listener.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            while True:
                self.listener.accept()[0].close()
        self.listener.listen(64)

    def close(self):
        for sock in self.waiting:
            sock.close()
        self.listener.close()


@pytest.fixture
def black_hole():
    made = BlackHole()
    yield made
    made.close()


# -- turns -----------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_that_refuses_leaves_the_order_of_the_others_as_it_is(servers, refusing, place):
    a, b, _ = servers
    hosts = [host(a), host(b)]
    hosts.insert(place, refusing)
    with Running(hosts) as run:
        got = [run.serve_one(a, b) for _ in range(8)]
    assert got in ([0, 1] * 4, [1, 0] * 4)
    assert not run.told("passed over")


def test_each_in_turn(servers):
    with Running(map(host, servers)) as run:
        assert [run.serve_one(*servers) for _ in range(6)] == [0, 1, 2, 0, 1, 2]


def test_one_that_refused_is_served_from_the_moment_it_listens(servers):
    a, b, _ = servers
    with socket.socket() as late:
        late.bind(("127.0.0.1", 0))
        with Running([host(a), host(late), host(b)]) as run:
            assert [run.serve_one(a, b) for _ in range(4)] == [0, 1, 0, 1]
            late.listen()
            assert sorted(run.serve_one(a, late, b) for _ in range(3)) == [0, 1, 2]


def test_when_all_refuse_the_client_is_reset(refusing):
    with Running([refusing]) as run:
        with pytest.raises(ConnectionResetError), run.connect() as client:
            client.recv(1)
        eventually(lambda: run.told("connection refused"))


def test_a_black_hole_costs_its_time_once(servers, black_hole, monkeypatch):
    """And is taken again when it answers."""
    monkeypatch.setattr(member, "RETRY", 0.1)
    a, b, _ = servers
    hosts = [host(black_hole.listener), host(a), host(b)]
    with Running(hosts, connect_timeout=patience(0.5)) as run:
        got = [run.serve_one(a, b) for _ in range(9)]
        assert got in (([0, 1] * 5)[:9], ([1, 0] * 5)[:9])
        run.has_told("passed over until it does")
        black_hole.answer()
        eventually(lambda: run.told("answers again"), 20)
        # What its trials have left in its queue is not a client.
        black_hole.listener.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            while True:
                black_hole.listener.accept()[0].close()
        assert sorted(run.serve_one(a, b, black_hole.listener) for _ in range(3)) == [0, 1, 2]


def test_those_that_wait_for_it_go_to_another(servers, black_hole):
    """A client that came later does not wait its own time out, once it is known."""
    a, *_ = servers
    hosts = [host(black_hole.listener), host(a)]
    with Running(hosts, connect_timeout=patience(1.0)) as run, contextlib.ExitStack() as stack:
        for _ in range(6):
            stack.enter_context(run.connect())
        a.settimeout(patience(20))
        for _ in range(6):
            stack.enter_context(a.accept()[0])
        eventually(lambda: run.told("passed over"))
        run.has_told("passed over")


def test_the_only_one_is_tried_though_it_does_not_answer(black_hole):
    with Running([host(black_hole.listener)], connect_timeout=patience(0.3)) as run:
        for _ in range(2):
            with pytest.raises(ConnectionResetError), run.connect() as client:
                client.recv(1)
        assert not run.told("passed over")
        eventually(lambda: len(run.told("no answer in")) == 2)
        black_hole.answer()
        assert run.serve_one(black_hole.listener) == 0


# -- names -----------------------------------------------------------------------------------


def test_all_addresses_of_a_name_are_candidates(servers, refusing):
    a, b, _ = servers
    addresses = [host(each).host.addresses[0] for each in (a, b)]
    name = Host("many.example", 80, (*refusing.host.addresses, *addresses))
    with Running([Upstream(name)]) as run:
        assert [run.serve_one(a, b) for _ in range(4)] == [0, 1, 0, 1]


def test_a_name_is_resolved_again_and_a_failure_changes_nothing(servers, monkeypatch):
    monkeypatch.setattr(resolver, "EVERY", 0.02)
    a, b, c = servers
    at_first = host(a).host.addresses
    answers = {"now": at_first}

    def resolve(self):
        if answers["now"] is None:
            answers["asked"] = answers.get("asked", 0) + 1
            raise UsageError("address 'moves.example:80': no name server")
        return answers["now"]

    monkeypatch.setattr(Host, "resolve", resolve)
    with Running([Upstream(Host("moves.example", 80, at_first))]) as run:
        assert run.serve_one(*servers) == 0
        answers["now"] = host(b).host.addresses
        eventually(lambda: run.told("is now"))
        assert run.serve_one(*servers) == 1
        answers["now"] = None
        eventually(lambda: answers.get("asked", 0) > 3)
        run.has_told("stay in use")
        assert run.serve_one(*servers) == 1
        answers["now"] = (*host(c).host.addresses, *host(b).host.addresses)
        eventually(lambda: len(run.told("is now")) == 2)
        assert sorted(run.serve_one(*servers) for _ in range(2)) == [1, 2]
    run.has_told("stay in use")


def test_a_name_server_that_hangs_holds_nothing_up(servers, monkeypatch):
    monkeypatch.setattr(resolver, "EVERY", 0.01)
    hangs, go = threading.Event(), threading.Event()

    def resolve(self):
        hangs.set()
        go.wait(patience(60))
        return self.addresses

    monkeypatch.setattr(Host, "resolve", resolve)
    a = servers[0]
    with Running([Upstream(Host("slow.example", 80, host(a).host.addresses))]) as run:
        assert hangs.wait(patience(20))
        assert run.serve_one(a) == 0
    go.set()


@pytest.mark.parametrize(
    ("text", "may_change"),
    [("127.0.0.1:80", False), ("[::1]:80", False), ("localhost:80", True)],
)
def test_hosts(text, may_change):
    found = parse_host(text)
    assert str(found) == text
    assert found.may_change == may_change
    assert parse_address(text) in found.addresses
    assert set(found.resolve()) == set(found.addresses)


@pytest.mark.parametrize(
    "text", ["", ":", "x", "127.0.0.1:0", "127.0.0.1:65536", f"127.0.0.1:{'9' * 5000}", ":80",
             "::1:80", f"{'a' * 5000}:80", f"{'a' * 64}.example:80", "\udcff:80", "a b:80"]
)  # fmt: skip
def test_what_is_no_host(text):
    with pytest.raises(UsageError, match="address"):
        parse_host(text)


# -- loops -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["127.0.0.1", "0.0.0.0", "::ffff:127.0.0.1"])
def test_a_proxy_that_is_its_own_upstream_refuses_itself(name):
    port = free_port()
    written = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    listen = (Address(socket.AF_INET, "127.0.0.1", port),)
    with Running([Upstream(parse_host(written))], listen=listen) as run:
        for _ in range(20):
            with pytest.raises(ConnectionResetError), run.connect() as client:
                client.recv(1)
        run.has_told("came back to it")
        # The connection that came back, and the client where that was quicker than pairing.
        assert 20 <= run.proxy.clients.refused <= 40
        eventually(lambda: not run.proxy.worker.live)
        eventually(lambda: not run.proxy.clients.count)


def test_a_family_without_a_route_costs_no_time(servers):
    """A client comes to the address of the other one, at once, and the next one there at first."""
    there = host(servers[0]).host
    nowhere = [Address(socket.AF_INET6, f"2001:db8::{last}", there.port) for last in (1, 2)]
    both = Host("app.example", there.port, (nowhere[0], *there.addresses, nowhere[1]))
    tried = []

    def connect(real, fd, at, size):
        if size > 16:  # a struct sockaddr_in6
            tried.append(size)
            raise OSError(errno.ENETUNREACH, "")
        return real(fd, at, size)

    with calls(connect=connect), Running([Upstream(both)], connect_timeout=60.0) as running:
        for _ in range(4):
            assert running.serve_one(servers[0]) == 0
        assert len(tried) >= 2
        assert running.proxy.clients.refused == 0
        eventually(lambda: any("[2001:db8::1]" in line for line in running.told("passed over")))

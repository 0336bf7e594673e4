"""Short-circuit: a conversation goes past the proxy, which still counts, limits and ends it."""

from __future__ import annotations

import signal

import pytest

from sockproxy.cgroup import Cgroup, find_mount
from sockproxy.net.tcp import socket_cookie
from tests.support.bypass import (
    connections,
    sockproxy,
)
from tests.support.proxy import running_proxy
from tests.support.scale import patience, scaled
from tests.support.short_circuit import (
    EAGER,
    Past,
    chain_of,
    goes_past,
    joined,
    listening,
    live,
    past,
    why_not,
)
from tests.support.sockets import receive

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass", "splice")]


@pytest.fixture
def mesh(shared):
    """A proxy between two ends of one bypass."""
    with past() as mesh:
        yield mesh


# -- that they do, and who knows of it ---------------------------------------------------


@pytest.mark.parametrize("mode", [(), EAGER], ids=["auto", "eager"])
def test_messages_go_past_and_are_counted(shared, mode):
    with past(*mode) as mesh, joined(mesh) as (client, server):
        assert_paired(client, server)
        before = mesh.row()
        assert before["why_not_short_circuited"] == ""
        for _ in range(100):
            client.sendall(bytes(1))
            receive(server, 1)
            server.sendall(bytes(1))
            receive(client, 1)
        row = mesh.row()
        for side in ("forward", "backward"):
            for count in ("short_circuited", "short_circuited_messages"):
                assert row[side][count] - before[side][count] == 100
            assert row[side]["redirected"] == before[side]["redirected"]
            assert row[side]["pumped"] == before[side]["pumped"]
        both = row["forward"]["short_circuited"] + row["backward"]["short_circuited"]
        sockets = (connections()[socket_cookie(sock)] for sock in (client, server))
        assert mesh.total() == both == sum(each["bypassed_bytes"] for each in sockets)
        assert "short-circuit" in sockproxy("connections", mesh.proxy.name)
        client.close()
        server.close()
        ended = mesh.proxy.settled()
        assert ended["short_circuited"] == both
        assert ended["connections_reset"] == 0
        mesh.proxy.says(f"{row['forward']['short_circuited']} past us")


def test_a_row_adds_up_to_what_was_sent(mesh):
    """Whatever part of it went which way."""
    sizes, sent = (1, 100, 60_000, 1, 1 << 20, 1, 10, 100_000), 0
    with joined(mesh) as (client, server):
        before = mesh.row()["forward"]
        for size in sizes * 5:
            client.sendall(bytes(size))
            receive(server, size)
            server.sendall(b".")
            receive(client, 1)
            sent += size
        after = mesh.row()["forward"]
        ways = ("short_circuited", "redirected", "pumped")
        assert sum(after[way] - before[way] for way in ways) == sent
        assert after["short_circuited"] > before["short_circuited"]


@pytest.mark.parametrize(
    ("listen", "address", "upstream"),
    [
        ("[::1]:0", "::1", "::1"),
        ("[::]:0", "127.0.0.1", "127.0.0.1"),
        ("[::]:0", "::1", "127.0.0.1"),
    ],
    ids=["IPv6", "v4-mapped", "between families"],
)
def test_families(shared, listen, address, upstream):
    with (
        past(host=upstream, listen=listen) as mesh,
        joined(mesh, (address, mesh.proxy.address[1])) as (client, server),
    ):
        assert goes_past(client, server)


@pytest.mark.parametrize("count", [2, 3])
def test_a_chain_of_proxies(shared, count):
    """From the one end to the other, whichever of them joins first."""
    with chain_of(count) as (mesh, proxies):
        with joined(mesh) as (client, server):
            assert_paired(client, server)
            assert goes_past(client, server)
            rows = [proxy.connections()[0] for proxy in proxies]
            assert {row["why_not_short_circuited"] for row in rows} == {""}
            assert len({row["forward"]["short_circuited"] for row in rows}) == 1
        live(mesh.listener, mesh.proxy.address, count=scaled(100, 20))
        assert len({proxy.settled()["short_circuited"] for proxy in proxies}) == 1


def test_a_chain_of_which_a_proxy_is_killed(shared):
    with past() as mesh:
        with running_proxy(mesh.proxy.address, exit_code=-signal.SIGKILL) as outer:
            outer.says("short-circuited")
            with joined(mesh, outer.address) as (client, server):
                outer.signal(signal.SIGKILL)
                outer.process.wait(patience(10))
                for sock in (client, server):
                    with pytest.raises(ConnectionResetError):
                        sock.recv(1)
        with running_proxy(mesh.proxy.address, "--name", outer.name):
            pass  # clears away what was left


# -- where they do not --------------------------------------------------------------------


def test_not_asked_for(shared):
    with past("--no-short-circuit", says="") as mesh:
        assert why_not(mesh) == "--no-short-circuit"


def test_a_client_from_elsewhere(mesh, shared):
    Cgroup(find_mount()).enter()
    try:
        assert why_not(mesh) == "the client is not enrolled in a bypass"
    finally:
        shared.enter()


def test_a_server_elsewhere(shared):
    with Cgroup(find_mount()).entered(), listening() as listener:
        shared.enter()
        with running_proxy(listener.getsockname()) as proxy:
            assert why_not(Past(proxy, listener)) == "the upstream is not enrolled in a bypass"


def assert_paired(client, server):
    """The bypass knows the two as the ends of one conversation."""
    seen = connections()
    cookies = [socket_cookie(sock) for sock in (client, server)]
    assert [seen[cookie]["peer"] for cookie in cookies] == cookies[::-1]
    assert {seen[cookie]["state"] for cookie in cookies} == {"short-circuit"}

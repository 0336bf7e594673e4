"""Short-circuit: the bypasses that are attached, or not, and what they leave alone."""

from __future__ import annotations

import contextlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sockproxy.cgroup import Cgroup
from sockproxy.net.tcp import socket_cookie
from tests.support.bypass import NAME, connections, converse, sockproxy, status
from tests.support.scale import patience, scaled
from tests.support.short_circuit import (
    SAYS,
    attach,
    chain_of,
    goes_past,
    joined,
    live,
    past,
    stays_behind,
    why_not,
)
from tests.support.sockets import eventually, receive

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass", "splice")]


@pytest.fixture
def mesh(bypassed):
    """A proxy between two ends of one bypass."""
    with past() as mesh:
        yield mesh


@pytest.mark.alone  # it attaches to the cgroup that the tests of others have theirs in
def test_a_bypass_above_both_has_the_proxy_in_it_too(group):
    """Its own sockets are none of the bypass's, wherever they are."""
    attach(Cgroup(group.path.parent))
    try:
        with past() as mesh, joined(mesh) as (client, server):
            assert goes_past(client, server)
            assert set(connections()) == {socket_cookie(client), socket_cookie(server)}
            mesh.finish(mesh.talk(turns=scaled(1000, 100), sizes=(1, 64, 1000, 30_000)))
    finally:
        sockproxy("detach", NAME)


@contextlib.contextmanager
def another_bypass(group):
    """Of another cgroup; by its name it comes first."""
    elsewhere, name = group.child("elsewhere").create(), f"a-{NAME}"
    attach(elsewhere, name=name)
    try:
        yield
    finally:
        sockproxy("detach", name)
        elsewhere.remove()


def test_a_chain_beside_another_bypass(bypassed):
    """Which hears of the proxies as well, and has the pairs between them."""
    with another_bypass(bypassed), chain_of(3) as (mesh, _), joined(mesh) as (client, server):
        assert goes_past(client, server)


def test_no_bypass(group):
    with past(says="") as mesh:
        assert why_not(mesh) == "no bypass is attached"


@pytest.mark.parametrize(
    "options", [["--deny", "1-65535"], ["--observe"], ["--same-cgroup"]], ids=lambda each: each[0]
)
def test_a_bypass_that_leaves_it_alone(bypassed, options):
    attach(bypassed, *options)
    with past() as mesh:
        assert why_not(mesh)


def test_a_full_bypass(group):
    attach(group, "--max-connections", 2)
    try:
        with past() as mesh, joined(mesh) as ends:
            assert why_not_of_second(mesh)
            assert goes_past(*ends)
    finally:
        sockproxy("detach", NAME)


def why_not_of_second(mesh):
    client, server = mesh.connect()
    with client, server:
        converse(client, server, 60)
        return mesh.proxy.connections()[1]["why_not_short_circuited"]


@pytest.mark.parametrize("who", [0, 1], ids=["client", "server"])
def test_an_unfit_reader(mesh, who):
    """It peeks, and a bypass queue cannot be peeked at everywhere."""
    ends = mesh.connect()
    other, reader = ends if who else ends[::-1]
    with other, reader:
        for _ in range(10):
            other.sendall(b"!")
            assert reader.recv(1, socket.MSG_PEEK) == receive(reader, 1) == b"!"
            reader.sendall(b"!")
            receive(other, 1)
        assert stays_behind(*ends)
        assert "MSG_PEEK" in connections()[socket_cookie(other)]["why"]


def test_soon_after_an_attach_under_load(group):
    """What stays plain until the proxy has looked must not keep what comes after it out."""
    with past(says="") as mesh:
        done = threading.Event()

        def talk():
            seed = 0
            while not done.is_set():
                seed += 1000
                live(mesh.listener, mesh.proxy.address, seed=seed, count=100)

        with ThreadPoolExecutor() as pool:
            load = pool.submit(talk)
            try:
                attach(group)
                mesh.proxy.says(SAYS)
                eventually(lambda: status()["bypassed_messages"], 5)
            finally:
                done.set()
                load.result(patience(60))
                sockproxy("detach", NAME)


def test_detached_and_attached_again(group):
    """It goes on through the proxy, and new ones go past it when there is a bypass again."""
    attach(group)
    with past() as mesh, joined(mesh) as (client, server):
        sockproxy("detach", NAME)
        assert stays_behind(client, server)
        row = mesh.row()
        assert row["forward"]["short_circuited"]
        assert row["why_not_short_circuited"]
        attach(group)
        try:
            assert stays_behind(client, server)  # who was there before is not seen
            eventually(lambda: mesh.proxy.stderr().count(SAYS) == 2, 5)
            with joined(mesh) as ends:
                assert goes_past(*ends)
        finally:
            sockproxy("detach", NAME)
        assert stays_behind(client, server)


def test_detach_waits_for_what_has_not_been_read(group):
    attach(group)
    with past() as mesh, joined(mesh, size=1000) as (client, server):
        client.sendall(b"a" * 1000)
        assert [each["unread"] for each in connections().values()].count(1000) == 1
        try:
            print(sockproxy("detach", NAME, "--timeout", "0.5", code=1))
        finally:
            assert receive(server, 1000) == b"a" * 1000
            sockproxy("detach", NAME)
        assert stays_behind(client, server)


@pytest.mark.parametrize("rule", ["127.0.0.0/8", "PORT"])
def test_denied_later(mesh, bypassed, rule):
    """A rule for either hop ends it; a rule that allows again is for new ones."""
    rule = rule.replace("PORT", str(mesh.listener.getsockname()[1]))
    with joined(mesh) as (client, server):
        attach(bypassed, "--deny", rule)
        converse(client, server, 1)  # each is judged again as it sends
        assert stays_behind(client, server)
        attach(bypassed)
        with joined(mesh) as ends:
            assert goes_past(*ends)
            assert goes_past(*ends)


def test_observed_and_bypassed_again(mesh, bypassed):
    with joined(mesh) as (client, server):
        attach(bypassed, "--observe")
        converse(client, server, 1)
        assert stays_behind(client, server)
        attach(bypassed)
        with joined(mesh) as ends:
            assert goes_past(*ends)

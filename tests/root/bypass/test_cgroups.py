"""A bypass of several cgroups: which come and go while connections live."""

from __future__ import annotations

import contextlib
import socket

import pytest

from sockproxy.net.tcp import socket_cookie
from sockproxy.rundir import sight
from tests.support.bypass import (
    ALL_READERS,
    NAME,
    connections,
    converse,
    finish_talk,
    sockproxy,
    start_talk,
    status,
)
from tests.support.scale import patience
from tests.support.sockets import seen_waiting, tcp_pair

pytestmark = [pytest.mark.root, pytest.mark.bpf]


@pytest.fixture
def groups(group):
    """Three cgroups beside each other."""
    yield [group.child(f"pod{number}").create() for number in range(3)]
    assert sockproxy("detach", NAME)
    assert NAME not in sight.names()


def attach(*groups):
    """NAME has these cgroups from now on; what the command says."""
    given = [word for each in groups for word in ("--cgroup", each.path)]
    return sockproxy("attach", NAME, *given, *ALL_READERS)


@contextlib.contextmanager
def between(client_group, server_group):
    """Both ends of a connection, one in each cgroup."""
    with server_group.entered():
        listener = socket.create_server(("127.0.0.1", 0))
    with listener:
        with client_group.entered():
            client = socket.create_connection(listener.getsockname(), patience(20))
        server, _ = listener.accept()
    with client, server:
        for each in (client, server):
            each.settimeout(patience(20))
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            seen_waiting(each)
        yield client, server


def states(*ends):
    """The states of those that are known, of these sockets."""
    seen = connections()
    return {seen[cookie]["state"] for cookie in map(socket_cookie, ends) if cookie in seen}


def test_ends_in_two_cgroups_are_paired(groups):
    told = attach(*groups[:2])
    assert str(groups[1].path) in told
    assert status()["cgroups"] == sorted(str(each.path) for each in groups[:2])
    for one, other in (groups[:2], groups[1::-1], (groups[0], groups[0])):
        with between(one, other) as ends:
            converse(*ends, times=10)
            assert states(*ends) == {"bypassing"}
    with between(groups[0], groups[2]) as ends:
        converse(*ends, times=10)
        assert states(*ends) <= {"plain"}


def test_one_is_added_and_one_is_taken(groups):
    """What lives goes on in the bypass, and is let go when it ends."""
    attach(*groups[:2])
    with between(*groups[:2]) as before:
        converse(*before, times=10)
        assert "changed" in attach(*groups[1:])
        assert status()["cgroups"] == sorted(str(each.path) for each in groups[1:])
        with between(*groups[1:]) as added, between(*groups[:2]) as late:
            for ends in (before, added, late):
                converse(*ends, times=20)
            assert states(*before) == states(*added) == {"bypassing"}
            assert states(*late) <= {"plain"}
        moved = status()["bypassed_messages"]
        converse(*before, times=20)
        assert status()["bypassed_messages"] == moved + 40
    assert status()["live"] == 0
    attach(*groups)
    with between(*groups[:2]) as again:
        converse(*again, times=10)
        assert states(*again) == {"bypassing"}


def test_no_byte_is_lost_while_cgroups_come_and_go(groups):
    attach(*groups[:2])
    talks = []
    for _ in range(4):
        with groups[0].entered():
            pair = tcp_pair()
        talks.append(start_talk(pair=pair, turns=3000, nap=0.0005))
    for number in range(8):
        attach(*(groups[1:] if number % 2 else groups))
    assert all(finish_talk(each) for each in talks)


def test_one_that_is_removed_is_forgotten(groups):
    attach(*groups[:2])
    groups[0].remove()
    attach(groups[1])
    attach(groups[1], groups[2])
    assert status()["cgroups"] == sorted(str(each.path) for each in groups[1:])
    groups[1].remove()
    groups[2].remove()
    groups[0].create()
    assert "changed" in attach(groups[0])  # all that it had are gone
    assert status()["cgroups"] == [str(groups[0].path)]


def test_cgroups_that_cannot_be(groups):
    inner = groups[0].child("inner").create()
    both = ["--cgroup", groups[0].path, "--cgroup", inner.path]
    assert "lies in" in sockproxy("attach", NAME, *both, code=2)
    attach(groups[0])
    told = sockproxy("attach", NAME, "--cgroup", groups[1].path, code=2)
    assert f"is attached to {groups[0].path}" in told
    assert "lies in" in sockproxy("attach", NAME, *both, code=2)
    assert status()["cgroups"] == [str(groups[0].path)]

"""Connections are listed wherever they are, in whichever way the kernel lets them be."""

from __future__ import annotations

import contextlib
import os
import threading

import pytest

from sockproxy.bpf.bypass import Bypass
from sockproxy.bypass.attach import attach
from sockproxy.bypass.detach import detach
from sockproxy.bypass.options import BypassOptions
from sockproxy.bypass.view import bypass_connections, bypass_status
from sockproxy.net.find_namespace import find_namespaces
from sockproxy.net.namespace import current_inode
from sockproxy.net.tcp import socket_cookie
from tests.support.bypass import NAME, converse
from tests.support.namespace import Namespace
from tests.support.refused import refuse
from tests.support.scale import scaled
from tests.support.sockets import eventually, tcp_pair

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass")]

WAYS = {
    "storage": (),
    "storage alone": ("look_up_socket",),
    "namespaces": ("list_storage",),
    "namespaces alone": ("list_storage", "look_up_socket"),
    "lookups": ("list_storage", "list_namespace"),
}


@pytest.fixture(params=WAYS)
def way(request, group, monkeypatch):
    """A bypass that lists so; the way's name."""
    refuse(monkeypatch, WAYS[request.param])
    attach(NAME, group.path, BypassOptions(force=True, blocking_readers=True, any_reader=True))
    yield request.param
    assert detach(NAME, 10).drained


@pytest.fixture
def everywhere():
    """Pairs of sockets: here, in a namespace with a name, in one that only they keep."""
    with contextlib.ExitStack() as stack:
        named, nameless = (Namespace(f"{NAME}-{number}") for number in (1, 2))
        stack.callback(named.remove)
        try:
            pairs = [tcp_pair(), named.socket(tcp_pair), nameless.socket(tcp_pair)]
        finally:
            nameless.remove()
        for pair in pairs:
            for each in pair:
                stack.enter_context(each)
        yield pairs


def test_in_every_namespace(way, everywhere):
    for pair in everywhere:
        converse(*pair, times=5)
    told = bypass_connections(NAME)
    assert told["unseen"] == 0
    seen = {each["cookie"]: each for each in told["connections"]}
    assert seen.keys() == {socket_cookie(each) for pair in everywhere for each in pair}
    assert {each["state"] for each in seen.values()} == {"bypassing"}
    assert len({each["netns"] for each in seen.values()}) == 3
    assert all(each["processes"] == [os.getpid()] for each in seen.values())


def test_plain_ones_are_listed_or_counted(way, everywhere, group):
    """A stream leaves the sockmap, where look-ups end."""
    one, other = everywhere[1]
    (source, target) = (one, other)
    target.setblocking(False)

    def has_left():
        with contextlib.suppress(BlockingIOError):
            while target.recv(1 << 20):
                pass
        source.sendall(bytes(100_000))
        states = {each["cookie"]: each["state"] for each in bypass_connections(NAME)["connections"]}
        return states.get(socket_cookie(source), "gone") in ("plain", "gone")

    eventually(has_left, 30)
    target.setblocking(True)
    status = bypass_status(NAME)
    assert status["live"] + status["unseen"] == 6
    assert (status["unseen"] > 0) == (way == "lookups")


def come_and_go(stop):
    while not stop.is_set():
        one, other = tcp_pair()
        # The opener closes first: the port of one that listened, and closes first, is nobody's
        # for a minute, and on a slow machine there are more of them than ports.
        with other, one:
            converse(one, other)


@pytest.mark.parametrize("refused", [(), ("list_storage",), ("list_storage", "list_namespace")])
def test_none_is_passed_over_while_others_come_and_go(group, monkeypatch, refused):
    """And none is shown that is half enrolled yet."""
    refuse(monkeypatch, refused)
    attach(NAME, group.path, BypassOptions(force=True, blocking_readers=True, any_reader=True))
    stop = threading.Event()
    others = [threading.Thread(target=come_and_go, args=[stop]) for _ in range(3)]
    try:
        with contextlib.ExitStack() as stack:
            pairs = [tcp_pair() for _ in range(20)]
            stay = [stack.enter_context(each) for pair in pairs for each in pair]
            for pair in pairs:
                converse(*pair)
            cookies = {socket_cookie(each) for each in stay}
            for each in others:
                each.start()
            try:
                with Bypass(NAME) as bypass:
                    for _ in range(scaled(500, 20)):
                        seen = {each.cookie for each in bypass.listed().connections}
                        assert cookies <= seen
            finally:
                stop.set()
                for each in others:
                    each.join()
    finally:
        assert detach(NAME, 10).drained


def test_a_namespace_that_ends_is_forgotten(way):
    inside = Namespace(NAME)
    try:
        pair = inside.socket(tcp_pair)
    finally:
        inside.remove()
    with pair[0], pair[1]:
        converse(*pair)
    # Where it is not looked into `live` is 0 at once, while the sockets are still closing.
    eventually(lambda: [bypass_status(NAME)[each] for each in ("live", "unseen")] == [0, 0])


def test_a_namespace_is_found_wherever_it_is_held():
    inside = Namespace(NAME)
    try:
        number = os.stat(f"/run/netns/{NAME}").st_ino
        found = find_namespaces({number, current_inode(), 1})
        assert found.keys() == {number, current_inode()}
        (one, other) = inside.socket(tcp_pair)
    finally:
        inside.remove()
    found |= {-number: each for number, each in find_namespaces({number}).items()}
    assert -number in found, "by its sockets"
    one.close()
    other.close()
    for fd in found.values():
        os.close(fd)
    assert number not in find_namespaces({number})

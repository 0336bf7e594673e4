"""Each socket call answers on a bypassed socket as it does on one of plain TCP.

The exceptions are docs/compatibility.md; each is held here too, so that it cannot rot.
"""

from __future__ import annotations

import os
import socket
import time

import pytest

from sockproxy.bypass.view import bypass_connections
from sockproxy.cgroup import create_owned
from sockproxy.net.tcp import socket_cookie
from sockproxy.rundir import sight
from tests.support import (
    calls_ask,
    calls_end,
    calls_read,
    calls_share,
    calls_threads,
    calls_wait,
    calls_write,
)
from tests.support.bypass import ALL_READERS, converse, sockproxy
from tests.support.calls import CASES, run_apart
from tests.support.scale import patience
from tests.support.sockets import seen_waiting

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass")]
NAME = f"test-same-{os.getpid()}"
TOPICS = [calls_read, calls_write, calls_wait, calls_end, calls_ask, calls_share, calls_threads]


def meet(one, other):
    """Until some 4000 bytes may be bypassed either way, with no more said before."""
    converse(one, other, size=4096)
    converse(one, other, times=1)


class Sides:
    """Makes pairs: plain ones, and ones of a cgroup with a bypass."""

    def __init__(self, group):
        self.group = group
        self.attached = False

    def renew(self):
        """A bypass that remembers nothing."""
        if self.attached:
            sockproxy("detach", NAME)
        sockproxy("attach", NAME, "--cgroup", self.group.path, *ALL_READERS)
        self.attached = True

    def plain(self, each):
        """Two ends that no bypass sees, after the same words."""
        pair = connected(each.prepare)
        (each.meet or meet)(*pair)
        return pair

    def bypassed(self, each):
        """Two ends that are in the state which the case is for."""
        with self.group.entered():
            pair = connected(each.prepare)
        try:
            (each.meet or meet)(*pair)
            seen = {one["cookie"]: one for one in bypass_connections(NAME)["connections"]}
            for sock in pair:
                told = seen[socket_cookie(sock)]
                assert told["state"] == each.state, (told["state"], told["why"])
        except BaseException:
            for sock in pair:
                sock.close()
            raise
        return pair


def connected(prepare=None):
    """(client, server) that fail rather than wait for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.socket()
        if prepare:
            prepare(client)
        client.connect(listener.getsockname())
        server, _ = listener.accept()
    for sock in (client, server):
        sock.settimeout(patience(20))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        seen_waiting(sock)
    return client, server


@pytest.fixture(scope="module")
def sides():
    group = create_owned("same")
    made = Sides(group)
    try:
        made.renew()
        yield made
        sockproxy("detach", NAME)
        assert NAME not in sight.names()
    finally:
        group.remove()


@pytest.mark.parametrize("each", CASES, ids=[each.name for each in CASES])
def test_same(sides, each):
    plain = run_apart(each.run, sides.plain(each))
    began = time.monotonic()
    try:
        bypass = run_apart(each.run, sides.bypassed(each))
    finally:
        if each.taints:
            sides.renew()
    if each.differs and not (each.repaired and bypass == plain):
        assert (plain, bypass) == (each.plain, each.bypass), each.differs
    else:
        assert bypass == plain, f"after {time.monotonic() - began:.2f} s"

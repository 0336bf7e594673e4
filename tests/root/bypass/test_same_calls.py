"""Each socket call answers on a bypassed socket, and on one whose messages go past a proxy, as it
does on one of plain TCP.

The exceptions are docs/compatibility.md; each is held here too, so that it cannot rot.
"""

from __future__ import annotations

import contextlib
import socket
import time

import pytest

from sockproxy.bypass.attach import attach
from sockproxy.bypass.detach import detach
from sockproxy.bypass.options import BypassOptions
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
from tests.support.bypass import NAME, converse
from tests.support.calls import CASES, LIMIT, run_apart
from tests.support.scale import patience
from tests.support.short_circuit import SAYS, past, until_past
from tests.support.sockets import eventually, seen_waiting

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass")]
TOPICS = [calls_read, calls_write, calls_wait, calls_end, calls_ask, calls_share, calls_threads]
EACH = pytest.mark.parametrize("each", CASES, ids=[each.name for each in CASES])


def meet(one, other):
    """Until some 4000 bytes may be bypassed either way, with no more said before."""
    converse(one, other, size=4096)
    converse(one, other, times=1)


def meet_past(one, other):
    """The same past a proxy."""
    until_past(one, other, 4096)
    converse(one, other, times=1)


class Sides:
    """Makes pairs: plain ones, ones of a cgroup with a bypass, and ones with a proxy between."""

    def __init__(self, group):
        self.group = group
        self.attached = False
        self._plain = {}  # what they answered: asked for once
        self.mesh = None  # a proxy that messages go past

    def renew(self):
        """A bypass that remembers nothing."""
        self.close()
        attach(NAME, self.group.path, BypassOptions(blocking_readers=True, any_reader=True))
        self.attached = True
        if self.mesh:
            told = self.mesh.proxy.stderr().count(SAYS)
            eventually(lambda: self.mesh.proxy.stderr().count(SAYS) > told)

    def close(self):
        """Leave no bypass."""
        if self.attached:
            assert detach(NAME, 10).drained
            self.attached = False

    def plain(self, each):
        """What two ends answer that no bypass sees, after the same words."""
        if each.name not in self._plain:
            pair = connected(each.prepare)
            (each.meet or meet)(*pair)
            self._plain[each.name] = run_apart(each.run, pair)
        return self._plain[each.name]

    def bypassed(self, each):
        """What two ends answer that are in the state which the case is for."""
        with self.group.entered():
            pair = connected(each.prepare)
        with self._renewed(each):
            ready(pair, each.meet or meet, each.state)
            return run_apart(each.run, pair)

    def past(self, each):
        """The same with a proxy between them, past which their messages go."""
        with self.group.entered():
            pair = connected(each.prepare, self.mesh)
        with self._renewed(each):
            if each.state == "bypassing":
                ready(pair, each.meet or meet_past, "short-circuit")
            else:
                ready(pair, each.meet or meet)
            return run_apart(each.run, pair, 3 * LIMIT)

    def behind(self, each, mesh):
        """The same, no bypass sees them, and all goes through the proxy."""
        pair = connected(each.prepare, mesh)
        (each.meet or meet)(*pair)
        return run_apart(each.run, pair, 3 * LIMIT)

    @contextlib.contextmanager
    def _renewed(self, each):
        try:
            yield
        finally:
            if each.taints:
                self.renew()


def ready(pair, meet, state=None):
    """Let the two meet; they are in that state then."""
    try:
        meet(*pair)
        seen = {one["cookie"]: one for one in bypass_connections(NAME)["connections"]}
        for sock in pair if state else ():
            told = seen[socket_cookie(sock)]
            assert told["state"] == state, (told["state"], told["why"])
    except BaseException:
        for sock in pair:
            sock.close()
        raise


def connected(prepare=None, mesh=None):
    """(client, server) that fail rather than wait for ever."""
    with contextlib.ExitStack() as stack:
        listener = mesh and mesh.listener
        listener = listener or stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        client = socket.socket()
        if prepare:
            prepare(client)
        client.connect(mesh.proxy.address if mesh else listener.getsockname())
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
        made.close()
        assert NAME not in sight.names()
    finally:
        group.remove()


@pytest.fixture(scope="module")
def beside(sides):
    """With a proxy that messages go past; a Past of one through which all goes."""
    with sides.group.entered():
        stack = contextlib.ExitStack()
        sides.mesh = stack.enter_context(past())
    with stack, past("--no-short-circuit", says="") as through:
        yield through
        sides.mesh = None


@EACH
def test_same(sides, each):
    plain = sides.plain(each)
    began = time.monotonic()
    bypass = sides.bypassed(each)
    if each.differs and not (each.repaired and bypass == plain):
        assert (plain, bypass) == (each.plain, each.bypass), each.differs
    else:
        assert bypass == plain, f"after {time.monotonic() - began:.2f} s"


@pytest.mark.on("splice")
@EACH
def test_same_past_a_proxy(sides, beside, each):
    """As plain TCP does, directly or through the same proxy; or else as when bypassed."""
    told = sides.past(each)
    if told != sides.plain(each) and not (each.differs and told == each.bypass):
        assert told == sides.behind(each, beside)

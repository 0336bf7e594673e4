"""Short-circuit: a thousand readers that stall hold as much as those of a bypass."""

from __future__ import annotations

import contextlib
import resource
import socket

import pytest

from tests.support.bypass import NAME, connections, converse, sockproxy
from tests.support.memory import peak_memory, tcp_limit
from tests.support.proxy import running_proxy
from tests.support.scale import scaled
from tests.support.short_circuit import SAYS, Past, attach, until_past
from tests.support.sockets import tcp_pair
from tests.support.stalled import MIB, Stream, pull_until_all_arrived, push_until_all_block

pytestmark = [
    pytest.mark.root,
    pytest.mark.bpf,
    pytest.mark.on("bypass", "splice"),
    pytest.mark.alone,  # memory of all sockets of the machine
]

COUNT, BUDGET = scaled(1000, 50), 64 << 10
SEEN, CHUNK = 16 << 10, 4 << 10  # bytes that readers were seen to read at once, and of a message
BUFFER = 64 << 10  # of every socket, the proxy's too: what TCP itself takes is not looked at
MACHINE = 64 * MIB  # allowance for what the machine does meanwhile


@pytest.fixture
def small(inside):
    """A namespace in which TCP has small buffers from the start."""
    size = f"4096 {BUFFER} {BUFFER}"
    inside.tune(tcp_rmem=size, tcp_wmem=size)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield inside
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def direct():
    """The two ends of a bypass."""
    one, other = tcp_pair()
    converse(one, other, size=SEEN)
    return one, other


def held(place, connect):
    """Bytes of memory, and of them in bypass queues, that readers hold until all senders block."""
    with contextlib.ExitStack() as stack:
        pairs = place.socket(lambda: [connect() for _ in range(COUNT)])
        streams = []
        for seed, pair in enumerate(pairs):
            for sock in pair:
                stack.enter_context(sock).setblocking(False)
            streams.append(Stream(seed, *pair, CHUNK))
        with peak_memory() as peak:
            push_until_all_block(streams)
        unread = sum(each["unread"] for each in connections().values())
        assert peak.tcp < tcp_limit()
        pull_until_all_arrived(streams)
    return peak.used, unread


def test_a_thousand_stalled_readers(bypassed, small):
    """What their bypass queues hold, and beside it what TCP has in two sockets more."""
    attach(bypassed, "--budget", BUDGET)
    bypass, queued = held(small, direct)
    sockproxy("detach", NAME)  # and with it what was seen of this program
    attach(bypassed, "--budget", BUDGET)
    listener = small.socket(lambda: socket.create_server(("127.0.0.1", 0), backlog=COUNT))
    inside = ("nsenter", f"--net=/run/netns/{small.name}")
    with (
        listener,
        running_proxy(listener.getsockname(), "--budget", BUDGET, under=inside) as proxy,
    ):
        proxy.says(SAYS)
        mesh = Past(proxy, listener)

        def joined():
            client, server = mesh.connect()
            until_past(client, server)
            until_past(client, server, SEEN)
            return client, server

        past, queued_past = held(small, joined)
    print(
        f"{COUNT} stalled: {past / MIB:.0f} MiB, {queued_past / MIB:.0f} in bypass queues; in a"
        f" bypass {bypass / MIB:.0f} MiB, {queued / MIB:.0f}"
    )
    assert COUNT * SEEN / 2 < queued_past < 1.1 * queued
    assert past < bypass + COUNT * (4 * BUFFER + BUDGET) + MACHINE

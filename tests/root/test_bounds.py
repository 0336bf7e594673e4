"""Stalled readers: the sender blocks, memory is bounded, and all arrives in the end."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import time

import pytest

from tests.support.memory import busy_cores, peak_memory, tcp_limit
from tests.support.pattern import Checker, Pattern
from tests.support.proxy import running_proxy
from tests.support.scale import patience, scaled

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("splice")]

MIB = 1 << 20
BUFFER = 256 * 1024  # of the senders and readers: the proxy's are what is looked at
MACHINE = 64 * MIB  # allowance for what the machine does meanwhile


class Stream:
    """One direction from a socket: pattern out of one end, checked at the other."""

    def __init__(self, seed, source, target):
        self.source, self.target = source, target
        self.sent = 0
        self.pattern, self.checker = Pattern(seed), Checker(seed)

    def push(self):
        """Send until the socket is full; whether anything was taken."""
        before = self.sent
        try:
            while True:
                self.sent += self.source.send(self.pattern.at(self.sent, 256 * 1024))
        except BlockingIOError:
            return self.sent > before

    def pull(self):
        """Receive and check what is there."""
        try:
            while part := self.target.recv(MIB):
                self.checker.feed(part)
        except BlockingIOError:
            pass

    def drained(self):
        return self.checker.offset == self.sent


@contextlib.contextmanager
def connected(proxy, listener, count):
    """`count` connections through the proxy as (client, upstream), non-blocking."""
    with contextlib.ExitStack() as stack:
        ends = []
        for number in range(count):
            client = stack.enter_context(
                socket.create_connection(proxy.address, timeout=patience(10))
            )
            client.sendall(number.to_bytes(4, "big"))
            upstream = stack.enter_context(listener.accept()[0])
            upstream.settimeout(patience(10))
            assert upstream.recv(4) == number.to_bytes(4, "big")
            for end in (client, upstream):
                end.setblocking(False)
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
            ends.append((client, upstream))
        yield ends


def push_until_all_block(streams, quiet=None):
    """Nobody reads; send until nothing has been taken for `quiet` seconds."""
    quiet = quiet or scaled(2.0, 0.6)
    last = time.monotonic()
    while time.monotonic() - last < quiet:
        taken = [stream.push() for stream in streams]  # all of them: any() would stop early
        if any(taken):
            last = time.monotonic()
        time.sleep(0.002)


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0), backlog=300) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        sock.settimeout(patience(10))
        yield sock


def pull_until_all_arrived(streams, seconds=60):
    deadline = time.monotonic() + patience(seconds)
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream.target, selectors.EVENT_READ, stream)
        while not all(stream.drained() for stream in streams):
            assert time.monotonic() < deadline, [
                (stream.sent, stream.checker.offset) for stream in streams if not stream.drained()
            ]
            for key, _ in selector.select(0.1):
                key.data.pull()


@pytest.mark.parametrize("both_ways", [False, True], ids=["one-way", "both-ways"])
@pytest.mark.parametrize(
    ("count", "option"),
    [(count, ["--eager"]) for count in (1, 20, 200)]
    + [(count, option) for count in (1, 20) for option in ([], ["--relay"])],
)
def test_stalled_readers(count, both_ways, option, listener):
    """`count` directions, or one pair both ways, with nobody who reads."""
    budget, count = MIB, scaled(count)
    pairs = max(1, count // 2) if both_ways else count
    with running_proxy(listener.getsockname(), "--budget", budget, *option) as proxy:
        with connected(proxy, listener, pairs) as ends:
            streams = [Stream(2 * n, client, upstream) for n, (client, upstream) in enumerate(ends)]
            if both_ways:
                streams += [
                    Stream(2 * n + 1, upstream, client) for n, (client, upstream) in enumerate(ends)
                ]
            with busy_cores(scaled(os.cpu_count(), 0)), peak_memory() as peak:
                push_until_all_block(streams)
            allowed = len(streams) * 2 * budget + MACHINE
            print(
                f"{len(streams)} directions: {peak.used / MIB:.1f} MiB used, "
                f"{peak.beyond_tcp / MIB:.1f} MiB beyond TCP's own, {allowed / MIB:.0f} allowed"
            )
            # Above its limit TCP drops what arrives, and is minutes in sending it again.
            assert peak.tcp < tcp_limit(), "net.ipv4.tcp_mem of this machine is too small"
            assert peak.beyond_tcp < allowed
            for pair in proxy.connections():
                for way in (pair["forward"], pair["backward"]):
                    # One skb may stand above the budget: 64 KiB of bytes and its overhead.
                    assert way["largest_backlog"] < budget + 512 * 1024
            pull_until_all_arrived(streams)
        assert proxy.settled()["connections_ended"] == pairs

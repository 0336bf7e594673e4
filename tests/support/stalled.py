"""Many streams at once, through a proxy to readers that do not read."""

from __future__ import annotations

import contextlib
import math
import selectors
import socket
import time

from tests.support.pattern import Checker, Pattern
from tests.support.scale import patience, scaled

MIB = 1 << 20
BUFFER = 256 * 1024  # of the senders and readers: the proxy's are what is looked at


class Stream:
    """One direction from a socket: pattern out of one end, in messages of `chunk` bytes, checked
    at the other."""

    def __init__(self, seed, source, target, chunk=256 * 1024):
        self.source, self.target, self.chunk = source, target, chunk
        self.sent = 0
        self.pattern, self.checker = Pattern(seed), Checker(seed)

    def push(self, until=math.inf):
        """Send until the socket is full, or `until` bytes are sent; whether anything was taken."""
        before = self.sent
        with contextlib.suppress(BlockingIOError):
            while self.sent < until:
                chunk = self.pattern.at(self.sent, min(self.chunk, until - self.sent))
                self.sent += self.source.send(chunk)
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


def push_until_all_block(streams, quiet=None, most=math.inf):
    """Nobody reads; send until nothing has been taken for `quiet` seconds, of each stream at
    `most` so many bytes."""
    quiet = quiet or scaled(2.0, 0.6)
    until = [stream.sent + most for stream in streams]
    last = time.monotonic()
    while time.monotonic() - last < quiet:
        # all of them: any() would stop early
        taken = [stream.push(end) for stream, end in zip(streams, until, strict=True)]
        if any(taken):
            last = time.monotonic()
        time.sleep(0.002)


@contextlib.contextmanager
def slow_listener():
    """A listener whose connections have a receive buffer of BUFFER bytes."""
    with socket.create_server(("127.0.0.1", 0), backlog=300) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        sock.settimeout(patience(10))
        yield sock


def both_ways(ends):
    """The streams of connected(), in both directions of each."""
    return [
        Stream(2 * number + way, *pair)
        for number, (client, upstream) in enumerate(ends)
        for way, pair in enumerate(((client, upstream), (upstream, client)))
    ]


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

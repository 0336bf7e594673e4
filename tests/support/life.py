"""One connection of mixed random life, of which every byte is checked: what tests.support.lives
drives many of."""

from __future__ import annotations

import random
import select
import socket

from tests.support.calls import SIOCOUTQ, ioctl_int
from tests.support.pattern import Checker, Pattern
from tests.support.scale import patience
from tests.support.sockets import reset

PATIENCE = patience(60)  # seconds without progress that count as a stall
CLIENT, SERVER = 0, 1
SMALL = (1, 1, 3, 64, 64, 100, 1000, 4096, 16384)
MOST = 1 << 16
READ, WRITE, ASLEEP = select.EPOLLIN, select.EPOLLOUT, 0
STEPS = ("talk", "talk", "talk", "talk", "stream", "cross", "sleep", "urgent")
ENDS = ("fin", "fin", "one by one", "client resets", "server resets")


def script_of(seed, spec):
    """What happens: steps as (what, who begins, sizes), and how it ends."""
    rng = random.Random(seed)
    steps = []
    for _ in range(rng.randint(1, 6)):
        what, who = rng.choice(STEPS), rng.randrange(2)
        if what == "talk":
            sizes = [rng.choice(SMALL) for _ in range(rng.choice([2, 10, 40]))]
        elif what in ("stream", "cross"):
            sizes = [rng.randint(1, rng.choice([30_000, spec["large"]])) for _ in range(2)]
        else:
            sizes = [rng.choice(SMALL), rng.choice(SMALL)]
        steps.append((what, who, sizes))
    return steps, rng.choice(ENDS)


class Life:
    """One end. run() generates what it waits for: events of its socket, or seconds (a float)."""

    def __init__(self, sock, role, seed, spec):
        self.sock, self.role, self.seed, self.sent = sock, role, seed, 0
        self.steps, self.end = script_of(seed, spec)
        self.stage = ""
        self._spec, self._own = spec, random.Random(2 * seed + role)
        self._pattern, self._checker = Pattern(2 * seed + role), Checker(2 * seed + 1 - role)

    def run(self):
        for number, (what, who, sizes) in enumerate(self.steps):
            self.stage = f"{number} of {len(self.steps)}, {what}"
            yield from getattr(self, f"_{what}")(who == self.role, sizes)
        self.stage = self.end
        yield from self._finish()

    def _talk(self, mine, sizes):
        for size in sizes:
            yield from self._write(size) if mine else self._read(size)
            mine = not mine

    def _stream(self, mine, sizes):
        yield from self._write(sizes[0]) if mine else self._read(sizes[0])

    def _cross(self, mine, sizes):
        """Both at once."""
        out, into = sizes if mine else sizes[::-1]
        out, into = self.sent + out, self._checker.offset + into
        while self.sent < out or self._checker.offset < into:
            waits = 0
            if self.sent < out and not self._send_some(out - self.sent):
                waits |= WRITE
            if self._checker.offset < into and not self._take_some(into - self._checker.offset):
                waits |= READ
            done = self.sent == out or self._checker.offset == into
            if waits == (READ | WRITE) or (waits and done):
                yield waits

    def _sleep(self, mine, sizes):
        if mine:
            yield from self._write(sizes[0])
            yield from self._read(sizes[1])
        else:
            yield self._own.random() * self._spec["rest"]
            yield from self._read(sizes[0])
            yield from self._write(sizes[1])

    def _urgent(self, mine, sizes):
        """In band, as all sockets have SO_OOBINLINE: a byte of the pattern like any other."""
        if mine:
            yield from self._write(sizes[0])
            while not self._send_some(1, socket.MSG_OOB):
                yield WRITE
            yield from self._write(sizes[1])
            yield from self._read(1)
        else:
            yield from self._read(sizes[0] + 1 + sizes[1])
            yield from self._write(1)

    def _finish(self):
        if self.end == "fin":
            self.sock.shutdown(socket.SHUT_WR)
            yield from self._read_end()
        elif self.end == "one by one":
            # The client's way ends, and the server goes on.
            if self.role == CLIENT:
                self.sock.shutdown(socket.SHUT_WR)
                yield from self._read(5 * 1000)
                yield from self._read_end()
            else:
                yield from self._read_end()
                for _ in range(5):
                    yield from self._write(1000)
                self.sock.shutdown(socket.SHUT_WR)
        elif (self.end == "client resets") == (self.role == CLIENT):
            yield from self._write(1000)
            while ioctl_int(self.sock, SIOCOUTQ):
                yield 0.001
            reset(self.sock)
        else:
            yield from self._read_reset(1000)

    def _write(self, count):
        end = self.sent + count
        while self.sent < end:
            if not self._send_some(end - self.sent):
                yield WRITE

    def _read(self, count):
        end = self._checker.offset + count
        while self._checker.offset < end:
            if not self._take_some(end - self._checker.offset):
                yield READ

    def _read_end(self):
        while (part := self._receive(1)) is None:
            yield READ
        assert part == b"", "bytes behind the last"

    def _read_reset(self, most):
        """What was sent and acknowledged before a RST, then that, and no end of stream."""
        last = self._checker.offset + most
        try:
            while True:
                part = self._receive(MOST)
                if part is None:
                    yield READ
                    continue
                assert part, f"end of stream, not a reset, after {self._checker.offset} of {last}"
                self._checker.feed(part)
        except ConnectionResetError:
            assert self._checker.offset == last, (
                f"reset after {self._checker.offset} of {last} bytes"
            )

    def _send_some(self, most, flags=0):
        part = self._pattern.at(self.sent, min(most, MOST))
        try:
            count = self.sock.send(part, flags)
        except BlockingIOError:
            return 0
        self.sent += count
        return count

    def _take_some(self, most):
        part = self._receive(min(most, self._own.choice([1, 100, 4096, MOST])))
        if part is None:
            return 0
        assert part, f"end of stream with {most} bytes to come"
        self._checker.feed(part)
        return len(part)

    def _receive(self, most):
        try:
            return self.sock.recv(most)
        except BlockingIOError:
            return None

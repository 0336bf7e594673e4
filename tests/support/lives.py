"""Connections of mixed random life through whatever lies between; every byte is checked.

    python -m tests.support.lives server FD SPEC      FD: a listening socket
    python -m tests.support.lives client HOST PORT SPEC

Each life follows a script drawn from its seed, which both ends know: it talks, streams one way or
both ways at once, sleeps over what has come, sends urgent bytes, ends one way while the other goes
on, and ends by FIN, or by a RST of either end.

    seed, count   the lives have the seeds from `seed` on
    at_once       as many are there at the same time
    large         bytes of the longest stream
    rest          seconds that a reader sleeps at most

Each process prints one line of JSON: {"errors": [text, ...], "bytes": sent, "lives": ended}.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections import deque

from tests.support.life import ASLEEP, CLIENT, PATIENCE, READ, SERVER, Life


class Driver:
    """Drives many lives in one thread, which waits for all of them in one set, level-triggered."""

    def __init__(self, spec):
        self.errors, self.bytes, self.ended = [], 0, 0
        self._spec, self._epoll, self._last = spec, select.epoll(), time.monotonic()
        self._live, self._asleep = {}, []

    def __len__(self):
        return len(self._live)

    def begin(self, sock, role, seed):
        """A connected socket, which this closes when it has lived."""
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        life = Life(sock, role, seed, self._spec)
        self._live[sock.fileno()] = life, life.run()
        self._epoll.register(sock, READ)
        self._go_on(sock.fileno())

    def wait(self, seconds, other=-1):
        """Go on with whom something has happened; whether `other`, a descriptor, can be read."""
        if other >= 0:
            self._epoll.register(other, READ)
        now = time.monotonic()
        waits = [max(0, until - now) for until, _ in self._asleep]
        events = dict(self._epoll.poll(min([seconds, *waits])))
        if other >= 0:
            self._epoll.unregister(other)
        now = time.monotonic()
        awake = [fd for until, fd in self._asleep if until <= now]
        self._asleep = [each for each in self._asleep if each[0] > now]
        asleep = {fd for _, fd in self._asleep}
        for fd in [*awake, *(events.keys() - {other} - asleep)]:
            if fd in self._live:
                self._go_on(fd)
        return other in events

    def _go_on(self, fd):
        life, steps = self._live[fd]
        self._last = time.monotonic()
        try:
            waits = next(steps)
        except StopIteration:
            self._end(fd)
        except (OSError, AssertionError) as error:
            self._end(fd, f"{life.seed} ({life.stage}): {type(error).__name__}: {error}")
        else:
            if isinstance(waits, float):
                self._asleep.append((time.monotonic() + waits, fd))
                waits = ASLEEP
            self._epoll.modify(fd, waits)

    def _end(self, fd, error=""):
        life, _ = self._live.pop(fd)
        life.sock.close()
        self.ended += 1
        self.bytes += life.sent
        if error:
            self.errors.append(error)

    def is_stalled(self):
        """Whether nothing has gone on for too long: then all that live end."""
        if time.monotonic() - self._last < PATIENCE:
            return False
        for fd in list(self._live):
            life, _ = self._live[fd]
            self._end(fd, f"{life.seed} ({life.stage}): stalled with {life.sent} B sent")
        return True

    def told(self):
        return {"errors": self.errors, "bytes": self.bytes, "lives": self.ended}


def serve(listener, spec):
    """Accept as many as there are, and live them."""
    driver = Driver(spec)
    left = spec["count"]
    while (left or len(driver)) and not driver.is_stalled():
        if driver.wait(1.0, listener.fileno() if left else -1):
            sock, _ = listener.accept()
            sock.settimeout(PATIENCE)
            driver.begin(sock, SERVER, int.from_bytes(sock.recv(8), "big"))
            left -= 1
    return driver.told()


def connect(address, spec):
    """Open as many as there are, and live them."""
    driver = Driver(spec)
    seeds = deque(range(spec["seed"], spec["seed"] + spec["count"]))
    while (seeds or len(driver)) and not driver.is_stalled():
        if seeds and len(driver) < spec["at_once"]:
            seed = seeds.popleft()
            sock = socket.create_connection(address, PATIENCE)
            sock.sendall(seed.to_bytes(8, "big"))
            driver.begin(sock, CLIENT, seed)
            driver.wait(0)
        else:
            driver.wait(1.0)
    return driver.told()


def main():
    role, *place, spec = sys.argv[1:]
    spec = json.loads(spec)
    if role == "server":
        with socket.socket(fileno=int(place[0])) as listener:
            told = serve(listener, spec)
    else:
        told = connect((place[0], int(place[1])), spec)
    print(json.dumps(told))


if __name__ == "__main__":
    main()

"""Clients of real servers that look at every byte of every answer.

As a program: `python -m tests.support.servers_clients redis PORT SEED SECONDS`.
"""

from __future__ import annotations

import random
import socket
import sys
import time


def verify_redis(port, seed, rounds=0, seconds=0.0):
    """Values of all sizes, one request at a time and many at once, on one connection."""
    rng, last = random.Random(seed), {}
    deadline = time.monotonic() + seconds
    with socket.create_connection(("127.0.0.1", port), 20) as sock, sock.makefile("rb") as replies:
        while rounds > 0 or time.monotonic() < deadline:
            rounds -= 1
            batch = []
            for _ in range(rng.choice((1, 1, 1, 2, 16, 100))):
                size = rng.choice((0, 1, 100, 1000, 4096, 20_000))
                batch.append((b"%d-%d" % (seed, rng.randrange(50)), rng.randbytes(size)))
            requests = (_command(b"GETSET", *each) + _command(b"GET", each[0]) for each in batch)
            sock.sendall(b"".join(requests))
            for key, value in batch:
                _expect(replies, _bulk(last.get(key)))
                _expect(replies, _bulk(value))
                last[key] = value


def _command(*words):
    return b"*%d\r\n" % len(words) + b"".join(_bulk(word) for word in words)


def _bulk(word):
    return b"$-1\r\n" if word is None else b"$%d\r\n%b\r\n" % (len(word), word)


def verify_memcached(port, seed, rounds):
    """1 B to 900 KB: a large value between small ones goes by TCP, and comes in its turn."""
    rng = random.Random(seed)
    with socket.create_connection(("127.0.0.1", port), 20) as sock, sock.makefile("rb") as replies:
        for number in range(rounds):
            size = (1, 10, 1000, 1, 10, 50_000, 1, 300_000, 1, 900_000)[number % 10]
            key, value = b"k%d" % (number % 7), rng.randbytes(size)
            sock.sendall(b"set %b 0 0 %d\r\n%b\r\n" % (key, size, value))
            _expect(replies, b"STORED\r\n")
            sock.sendall(b"get %b\r\n" % key)
            _expect(replies, b"VALUE %b 0 %d\r\n%b\r\nEND\r\n" % (key, size, value))


def _expect(replies, wanted):
    got = replies.read(len(wanted))
    assert got == wanted, (len(got), got[:50], len(wanted), wanted[:50])


if __name__ == "__main__":
    assert sys.argv[1] == "redis"
    verify_redis(int(sys.argv[2]), int(sys.argv[3]), seconds=float(sys.argv[4]))

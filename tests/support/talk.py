"""One end of a conversation in which every byte is checked, in a process of its own.

    python -m tests.support.talk FD ROLE SPEC

FD is a connected socket and ROLE 0 or 1: both ends follow the same script of turns, drawn
from the seed. In a turn one end sends and the other receives; sizes go from a byte to beyond
what a bypass queue may hold, so that a connection goes to and fro between bypassed and passed.

    seed, turns
    sizes     the sizes of turns, drawn at random
    kinds     how to send: names in KINDS
    blocking  whether the sockets are
    nap       seconds that a reader sleeps now and then

Prints one line of JSON: {"error": null or text, "bytes": sent}.
"""

from __future__ import annotations

import json
import os
import random
import select
import socket
import sys
import tempfile
import time

from tests.support.pattern import Checker, Pattern
from tests.support.scale import patience
from tests.support.sockets import seen_waiting

PATIENCE = patience(60)  # seconds without a byte that count as a stall
MOST = 1 << 20  # bytes that the pattern gives at once
SIZES = (1, 1, 1, 3, 64, 64, 100, 1000, 4096, 16384, 65536, 200_000, 300_000, 1 << 20)


def wait(sock, event):
    poller = select.poll()
    poller.register(sock, event)
    if not poller.poll(PATIENCE * 1000):
        raise TimeoutError(f"nothing for {PATIENCE} s")


def retried(sock, send):
    """`send()`, again when the socket can take more."""
    while True:
        try:
            return send()
        except BlockingIOError:
            wait(sock, select.POLLOUT)


def by_send(sock, data, flags=0):
    view = memoryview(data)
    while view:
        view = view[retried(sock, lambda: sock.send(view, flags)) :]  # noqa: B023


def by_bytes(sock, data):
    """Single bytes first, then the rest at once."""
    for place in range(min(len(data), 20)):
        by_send(sock, data[place : place + 1])
    by_send(sock, data[20:])


def by_sendmsg(sock, data):
    third = len(data) // 3
    parts = [data[:third], data[third : 2 * third], data[2 * third :]]
    sent = retried(sock, lambda: sock.sendmsg(parts))
    by_send(sock, data[sent:])


def by_more(sock, data):
    half = len(data) // 2
    if half:
        by_send(sock, data[:half], socket.MSG_MORE)
    by_send(sock, data[half:])


def by_sendfile(sock, data):
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        offset = 0
        while offset < len(data):
            offset += retried(
                sock,
                lambda: os.sendfile(sock.fileno(), file.fileno(), offset, len(data) - offset),  # noqa: B023
            )


def by_splice(sock, data):
    read_end, write_end = os.pipe()
    try:
        for start in range(0, len(data), 32768):
            part = data[start : start + 32768]
            os.write(write_end, part)
            left = len(part)
            while left:
                left -= retried(sock, lambda: os.splice(read_end, sock.fileno(), left))  # noqa: B023
    finally:
        os.close(read_end)
        os.close(write_end)


KINDS = {
    "send": by_send,
    "bytes": by_bytes,
    "sendmsg": by_sendmsg,
    "more": by_more,
    "sendfile": by_sendfile,
    "splice": by_splice,
}


def receive(sock, checker, count, rng, nap):
    while count:
        try:
            part = sock.recv(min(count, rng.choice([1, 100, 4096, MOST])))
        except BlockingIOError:
            wait(sock, select.POLLIN)
            continue
        assert part, f"end of stream with {count} bytes to come"
        checker.feed(part)
        count -= len(part)
        if nap and rng.random() < 0.02:
            time.sleep(nap * rng.random())


def talk(sock, role, spec):
    """Follow the script; bytes sent. Raises what went wrong."""
    script, own = random.Random(spec["seed"]), random.Random(spec["seed"] * 2 + role)
    pattern, sent = Pattern(2 * spec["seed"] + role), 0
    checker = Checker(2 * spec["seed"] + 1 - role)
    sizes = spec.get("sizes", SIZES)
    for _ in range(spec["turns"]):
        speaker, size = script.randrange(2), script.choice(sizes)
        if speaker == role:
            KINDS[own.choice(spec["kinds"])](sock, pattern.at(sent, size))
            sent += size
        else:
            receive(sock, checker, size, own, spec["nap"])
    sock.shutdown(socket.SHUT_WR)
    assert receive_end(sock) == b"", "bytes behind the last turn"
    return sent


def receive_end(sock):
    while True:
        try:
            return sock.recv(1)
        except BlockingIOError:
            wait(sock, select.POLLIN)


def main():
    spec = json.loads(sys.argv[3])
    error, sent = None, 0
    with socket.socket(fileno=int(sys.argv[1])) as sock:
        seen_waiting(sock).setblocking(spec["blocking"])
        try:
            sent = talk(sock, int(sys.argv[2]), spec)
        except (OSError, AssertionError) as failure:
            error = f"{type(failure).__name__}: {failure}"
    print(json.dumps({"error": error, "bytes": sent}))


if __name__ == "__main__":
    main()

"""The two ends of a test's traffic, in processes of their own.

    python -m tests.support.peer server PORT|unix:PATH
    python -m tests.support.peer client HOST|unix:PATH PORT SPEC

Each connection begins with its SPEC as one line of JSON, so that the server knows what to
send and what to expect:

    number    of the connection; seeds its two patterns
    up, down  bytes from and to the client
    writes    largest write; sizes vary from 1 to it
    nap       seconds that a reader sleeps now and then
    order     who ends its stream first: "both", "client" or "server"

The client prints one line of JSON for each connection: {"number":…, "error": null or text}.
"""

from __future__ import annotations

import json
import random
import socket
import sys
import threading
import time
from collections import deque

from tests.support.pattern import Checker, IntegrityError, Pattern
from tests.support.scale import patience
from tests.support.unix import connect, unix_server

PATIENCE = patience(60)  # seconds without a byte that count as a stall


def write_stream(sock, seed, size, writes, rng):
    """Send `size` bytes of the pattern in writes of all sizes up to `writes`."""
    pattern, offset = Pattern(seed), 0
    sizes = [1, 7, 100, 1460, 16384, 65536, 300_000, 1 << 20]
    sizes = [each for each in sizes if each <= writes] or [1]
    while offset < size:
        count = min(rng.choice(sizes), size - offset)
        sock.sendall(pattern.at(offset, count))
        offset += count


def read_stream(sock, seed, size, nap, rng, first=b""):
    """Check the pattern up to the end of the stream, which must come after `size` bytes."""
    checker = Checker(seed)
    checker.feed(first)
    while part := sock.recv(rng.choice([100, 4096, 65536, 1 << 20])):
        checker.feed(part)
        if nap and rng.random() < 0.02:
            time.sleep(nap * rng.random())
    if checker.offset != size:
        raise IntegrityError(f"stream {seed}: end after {checker.offset} of {size} bytes")


def exchange(sock, spec, *, is_client, first=b""):
    """Both directions of one connection at once; the first error as text, or None."""
    errors = deque()
    seeds = 2 * spec["number"], 2 * spec["number"] + 1
    out, into = (0, 1) if is_client else (1, 0)
    sizes = spec["up"], spec["down"]
    rng = random.Random(seeds[out])
    waits = spec["order"] == ("server" if is_client else "client")
    peer_ended = threading.Event()

    def write():
        try:
            write_stream(sock, seeds[out], sizes[out], spec["writes"], rng)
            if waits:
                peer_ended.wait(PATIENCE)
            sock.shutdown(socket.SHUT_WR)
        except (OSError, IntegrityError) as error:
            errors.append(f"send: {error}")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        read_stream(sock, seeds[into], sizes[into], spec["nap"], random.Random(seeds[into]), first)
    except (OSError, IntegrityError) as error:
        errors.append(f"receive: {type(error).__name__}: {error}")
    peer_ended.set()
    writer.join(2 * PATIENCE)
    if writer.is_alive():
        errors.append("send: stalled")
    return errors[0] if errors else None


def serve_one(sock):
    """Server side of one connection; an error ends it with a reset that the client sees."""
    sock.settimeout(PATIENCE)
    with sock:
        line = b""
        while b"\n" not in line:
            if not (part := sock.recv(65536)):
                return
            line += part
        line, _, first = line.partition(b"\n")
        error = exchange(sock, json.loads(line), is_client=False, first=first)
        if error:
            print(f"server: {error}", file=sys.stderr, flush=True)


def server(where):
    """Serve for ever."""
    if where.startswith("unix:"):
        listener = unix_server(where)
        print(where, flush=True)
    else:
        listener = socket.create_server(("127.0.0.1", int(where)), backlog=1024)
        print(listener.getsockname()[1], flush=True)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve_one, args=(sock,), daemon=True).start()


def client(host, port, spec):
    """Open spec["count"] connections, numbered from spec["number"], and report on each."""

    def one(number):
        mine = {**spec, "number": number}
        try:
            with connect((host, port), PATIENCE) as sock:
                sock.settimeout(PATIENCE)
                sock.sendall(json.dumps(mine).encode() + b"\n")
                error = exchange(sock, mine, is_client=True)
        except OSError as failure:
            error = f"connect: {failure}"
        # One write: a line of another thread must not come between.
        sys.stdout.write(json.dumps({"number": number, "error": error}) + "\n")
        sys.stdout.flush()

    threading.stack_size(256 * 1024)
    threads = [
        threading.Thread(target=one, args=(number,))
        for number in range(spec["number"], spec["number"] + spec["count"])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    if sys.argv[1] == "server":
        server(sys.argv[2])
    else:
        client(sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4]))

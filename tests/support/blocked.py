"""A program that waits in recv(2), in blocking mode, while something is done to it.

    python -m tests.support.blocked ROLE PORT DISTURBED

ROLE, and how the socket comes to block:

    opener         connects so
    late-opener    connects without, and sets it then, as hiredis does
    accepter       accepts, by a listener that blocks as well; tells its port
    late-accepter  the same by a listener that does not

It answers TURNS requests of a byte, then waits for what comes until the end of the stream, and
prints one line of JSON: what each recv answered that was no data, and what the data were. DISTURBED
says what it does to itself: "timer" (SA_RESTART, every 10 ms), "handler" (one without SA_RESTART),
"thread" (which sends so much meanwhile that it has to wait), or "nothing".
"""

from __future__ import annotations

import hashlib
import json
import select
import signal
import socket
import sys
import threading
import time

from tests.support.calls import raw_recv
from tests.support.pattern import Pattern
from tests.support.scale import patience

TURNS, SIZE, FLOOD, BLOCK = 16, 3000, 8 << 20, 1 << 20


def opened(role, port):
    if role == "opener":
        return socket.create_connection(("127.0.0.1", port))
    if role == "late-opener":
        sock = socket.create_connection(("127.0.0.1", port), patience(20))
        sock.settimeout(None)
        return sock
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.setblocking(role == "accepter")
        print(listener.getsockname()[1], flush=True)
        if role == "late-accepter":
            select.select([listener], [], [])
        sock, _ = listener.accept()
        sock.setblocking(True)
        return sock


def disturb(how, sock):
    """Anything that goes on while the main thread waits."""
    if how in ("timer", "handler"):
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.siginterrupt(signal.SIGALRM, how == "handler")
        signal.setitimer(signal.ITIMER_REAL, 0.2, 0.01 if how == "timer" else 0)
    elif how == "thread":
        threading.Thread(target=flood, args=(sock,)).start()


def flood(sock):
    for start in range(0, FLOOD, BLOCK):
        sock.sendall(Pattern(7).at(start, BLOCK))


def main():
    role, port, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    sock, told, data = opened(role, port), [], b""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(TURNS):
        if role.endswith("opener"):
            sock.sendall(b"?")
        while (got := raw_recv(sock, 1)) != b"!":
            told.append(got)
            assert len(told) < 100, told
        if role.endswith("accepter"):
            sock.sendall(b"?")
    print("waiting", flush=True)
    disturb(how, sock)
    deadline = time.monotonic() + patience(20)
    while (got := raw_recv(sock, SIZE)) != b"":
        assert time.monotonic() < deadline, "it did not end"
        if isinstance(got, str):
            told.append(got)
        else:
            data += got
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(json.dumps([told, len(data), hashlib.sha256(data).hexdigest()]), flush=True)


if __name__ == "__main__":
    main()

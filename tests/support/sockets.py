"""Connected TCP sockets for tests."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import select
import socket
import struct
import time
from pathlib import Path

from tests.support.scale import patience

libc = ctypes.CDLL(None, use_errno=True)


@functools.cache
def level():
    """The epoll set in which all wait."""
    return select.epoll()


def seen_waiting(sock):
    """The same socket, in a level-triggered epoll set for as long as it is open, as a server's
    would be: a bypass gives nothing to who is not seen waiting so."""
    with contextlib.suppress(FileExistsError):  # it is there already
        level().register(sock, select.EPOLLIN)
    return sock


def tcp_pair(host="127.0.0.1"):
    """Two connected sockets, (client, server), that are seen waiting and fail in time."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind((host, 0))
        listener.listen(1)
        client = socket.socket(family)
        client.settimeout(patience(20))
        client.connect(listener.getsockname()[:2])
        server, _ = listener.accept()
    for sock in (client, server):
        sock.settimeout(patience(20))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        seen_waiting(sock)
    return client, server


def tcp_client(port, host="127.0.0.1"):
    """A connected socket that fails rather than wait for ever, and is seen waiting."""
    sock = socket.create_connection((host, port), patience(20))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return seen_waiting(sock)


@contextlib.contextmanager
def spliced(splicer, host="127.0.0.1"):
    """(client, server, splice): what client sends, server receives, and the reverse."""
    client, a = tcp_pair(host)
    server, b = tcp_pair(host)
    splice = splicer.splice(a, b)
    with client, server:
        try:
            yield client, server, splice
        except Exception as error:
            error.add_note(f"the splice: {splice.stats()}")
            raise


def receive(sock, count):
    """Exactly `count` bytes."""
    parts = []
    while count:
        part = sock.recv(min(count, 1 << 20))
        assert part, f"end of stream with {count} bytes to come"
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def disconnect(sock):
    """connect(2) to AF_UNSPEC, which Python's socket cannot say."""
    nowhere = struct.pack("=H14x", socket.AF_UNSPEC)
    if libc.connect(sock.fileno(), nowhere, len(nowhere)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def reset(sock):
    """Close with a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def eventually(condition, seconds=5.0):
    """Wait until `condition()` is true."""
    deadline = time.monotonic() + patience(seconds)
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.005)


def tcp_buffers():
    """The most that TCP itself may hold of one direction through a proxy, in bytes."""
    largest = 0
    for name in ("tcp_rmem", "tcp_wmem"):
        largest += int(Path(f"/proc/sys/net/ipv4/{name}").read_text().split()[2])
    return 2 * largest


def push_until_blocked(sock, chunk, quiet=0.5):
    """Send without waiting until nothing is taken for `quiet` seconds; bytes taken."""
    sock.setblocking(False)
    taken, last = 0, time.monotonic()
    while time.monotonic() - last < patience(quiet):
        try:
            taken += sock.send(chunk)
            last = time.monotonic()
        except BlockingIOError:
            time.sleep(0.001)
    sock.settimeout(patience(20))
    return taken

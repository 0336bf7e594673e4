"""Servers that ask FIONREAD before they read, and some that do not, called anything at all.

    python -m tests.support.askers HABIT

As tests.support.readers has it, whose messages they answer.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import sys
import termios
import threading
from pathlib import Path

from tests.support.readers import DrainingEdge, Edge, Level, serve

SMALL_BUFFER = 1024


def available(sock):
    """FIONREAD."""
    return struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.FIONREAD, bytes(4)))[0]


class Asks(Level):
    """Whether there is anything, before each read: told to read and nothing there is the end."""

    def read(self):
        if not select.select([self.sock], [], [], 0)[0]:
            return None
        return self.take(available(self.sock))

    def take(self, size):
        return super().read() if size else b""


class Sizes(Asks):
    """How much there is, and reads as much."""

    def take(self, size):
        return self.sock.recv(size) if size else b""


class AsksWhenFull(Edge):
    """As nginx, when a read has filled its buffer; with nothing there it waits for an edge."""

    def read(self):
        parts = []
        while True:
            try:
                part = self.sock.recv(SMALL_BUFFER)
            except BlockingIOError:
                return b"".join(parts) or None
            parts.append(part)
            if len(part) < SMALL_BUFFER or not available(self.sock):
                return b"".join(parts)


class DrainingLevel(Level):
    drains = True


HABITS = {
    "asks": Asks,
    "sizes": Sizes,
    "asks-when-full": AsksWhenFull,
    "level": Level,
    "drains": DrainingLevel,
    "drains-edge": DrainingEdge,
}


def main(habit):
    Path("/proc/self/comm").write_text(f"any-{habit}")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        print(listener.getsockname()[1], flush=True)
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
        while True:
            select.select([listener], [], [])
            sock = listener.accept()[0]
            with sock:
                sock.setblocking(False)
                serve(HABITS[habit](sock))


if __name__ == "__main__":
    main(sys.argv[1])

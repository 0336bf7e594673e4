"""Streams cut into messages, by each way to send; every byte says where it belongs."""

from __future__ import annotations

import socket
import threading

from tests.support.pattern import Checker, Pattern
from tests.support.sockets import receive
from tests.support.talk import KINDS as WAYS

CUTS = {"1x1": (1, 1), "1x1024": (1, 1024), "1024x1": (1024, 1), "512x3": (512, 3),
        "100x5": (100, 5), "256x1024": (256, 1024)}  # fmt: skip
KINDS = ("send", "sendmsg", "sendfile", "splice")
BLOCKING = {"blocking": True, "nonblocking": False}
SEED = 11


def total(cut):
    """Bytes of all its messages."""
    size, count = CUTS[cut]
    return size * count


def send_cut(sock, cut, kind, *, blocking):
    """Its messages, one call each; for a socket that does not block, as it takes them."""
    size, count = CUTS[cut]
    pattern = Pattern(SEED)
    timeout = sock.gettimeout()
    if blocking:
        sock.settimeout(None)
    else:
        sock.setblocking(False)
    for number in range(count):
        WAYS[kind](sock, pattern.at(number * size, size))
    sock.settimeout(timeout)


def send_stream(sock, size, step=65536):
    """`size` bytes in large messages."""
    pattern = Pattern(SEED)
    for offset in range(0, size, step):
        sock.sendall(pattern.at(offset, min(step, size - offset)))


def check(sock, size, step=65536):
    """The next `size` bytes, each in its place."""
    checker = Checker(SEED)
    while checker.offset < size:
        part = sock.recv(min(step, size - checker.offset))
        assert part, f"end of stream after {checker.offset} of {size} bytes"
        checker.feed(part)


class Reader(threading.Thread):
    """Checks what comes, beside the sender, for the length of a `with`; its error becomes ours."""

    def __init__(self, sock, size):
        super().__init__()
        self._sock, self._size, self._error = sock, size, None

    def run(self):
        try:
            check(self._sock, self._size)
        except Exception as error:
            self._error = error

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        self.join()
        if self._error is not None and kind is None:
            raise self._error


def stream_cut(source, target, cut, kind, blocking):
    """Its messages, sent so (a name of BLOCKING) and checked meanwhile at the other end."""
    with Reader(target, total(cut)):
        send_cut(source, cut, kind, blocking=BLOCKING[blocking])


def end(one, other):
    """The one ends its stream, and reads an answer to that."""
    one.shutdown(socket.SHUT_WR)
    assert other.recv(1) == b""
    other.sendall(b"answer")
    assert receive(one, 6) == b"answer"

"""How connections end, as two far ends see it; each trial asserts what plain TCP gives.

A trial has the client's and the server's socket, connected through whatever is tried.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import threading
import time

from tests.support.calls import SIOCATMARK, SIOCOUTQ, ioctl_int
from tests.support.pattern import Checker, Pattern
from tests.support.scale import patience
from tests.support.sockets import receive, reset

STALL = 10.0  # seconds without progress that count as one
UPLOAD = 100_000  # bytes that the server leaves unread
TCP_CLOSE = 7  # net/tcp_states.h
ENDED = (ConnectionResetError, BrokenPipeError)


def converse(client, server, turns):
    """So many requests and answers, so that the kernel moves what comes after."""
    for number in range(turns):
        one, other = bytes([number]) * 100, bytes([255 - number]) * 300
        client.sendall(one)
        assert receive(server, 100) == one
        server.sendall(other)
        assert receive(client, 300) == other


def tcp_state(sock):
    """By the first byte of struct tcp_info."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


def wait_until_acknowledged(sock):
    """Until the peer's TCP has all that was sent."""
    deadline = time.monotonic() + patience(60)
    while ioctl_int(sock, SIOCOUTQ):
        assert time.monotonic() < deadline, f"{ioctl_int(sock, SIOCOUTQ)} bytes not acknowledged"
        time.sleep(0.0002)


class EndOfStream(AssertionError):
    """A FIN, where TCP gives a RST. whole: all bytes had come."""

    def __init__(self, got, size):
        super().__init__(f"end of stream after {got} of {size} bytes")
        self.whole = got == size


def check_stream(sock, size, *, nap=0.0):
    """Exactly `size` bytes of the pattern, and then a RST and no end of stream."""
    checker = Checker(size)
    while True:
        try:
            part = sock.recv(1 << 16)
        except ENDED:
            break
        if not part and tcp_state(sock) == TCP_CLOSE:
            break  # a RST, of which a send was told
        if not part:
            raise EndOfStream(checker.offset, size)
        checker.feed(part)
        if nap:
            time.sleep(nap)
    assert checker.offset == size, f"reset after {checker.offset} of {size} bytes"


class Sender(threading.Thread):
    """Sends `size` bytes of the pattern, until nobody takes them."""

    def __init__(self, sock, size):
        super().__init__()
        self._sock, self._size = sock, size

    def run(self):
        pattern, sent = Pattern(self._size), 0
        with contextlib.suppress(*ENDED):
            while sent < self._size:
                count = min(1 << 16, self._size - sent)
                self._sock.sendall(pattern.at(sent, count))
                sent += count

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.join(patience(60))
        assert not self.is_alive(), "it is still sending"


def send_and_reset(one, other, size, *, turns=0, nap=0.0):
    """`one` sends, waits until that was acknowledged, and resets the connection."""
    converse(one, other, turns)

    def send():
        with Sender(one, size):
            pass
        wait_until_acknowledged(one)
        reset(one)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        check_stream(other, size, nap=nap)
    finally:
        thread.join(patience(90))
        assert not thread.is_alive(), "nobody takes what is sent"


def end_and_reset(one, other, size, *, turns=0):
    """`one` ends its stream before it resets the connection: its reader is told of the end."""
    converse(one, other, turns)
    with Sender(one, size):
        checker = Checker(size)
        while checker.offset < size:
            part = other.recv(1 << 16)
            assert part, f"end of stream after {checker.offset} of {size} bytes"
            checker.feed(part)
    one.shutdown(socket.SHUT_WR)
    wait_until_acknowledged(one)
    reset(one)
    try:
        assert other.recv(1) == b""
    except ENDED:
        raise AssertionError(f"reset after {size} bytes and the end of the stream") from None


def answer_and_close(client, server, size, *, turns=0, nap=0.0):
    """The server answers, and closes with an upload unread: TCP makes that a RST."""
    converse(client, server, turns)

    def serve():
        receive(server, 8)
        with Sender(server, size):
            pass
        wait_until_acknowledged(server)
        server.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with Sender(client, UPLOAD):
            check_stream(client, size, nap=nap)
    finally:
        thread.join(patience(90))
        assert not thread.is_alive(), "nobody takes what is sent"


def end_both_ways(client, server, size, *, turns=0):
    """Both send, and end with a FIN: the control."""
    converse(client, server, turns)
    for one, other in ((client, server), (server, client)):
        with Sender(one, size):
            checker = Checker(size)
            while checker.offset < size:
                checker.feed(receive(other, min(1 << 16, size - checker.offset)))
        one.shutdown(socket.SHUT_WR)
        assert other.recv(1) == b""


def urgent_byte(one, other, *, before=3, after=1000, turns=0, inline=False, end=True):
    """One urgent byte in the middle: what is in band is whole, and its mark where it was."""
    converse(one, other, turns)
    other.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, inline)
    pattern = Pattern(7)
    one.sendall(pattern.at(0, before))
    one.send(b"!", socket.MSG_OOB)
    checker = Checker(7)
    while checker.offset < before:  # a read ends at the mark
        checker.feed(receive(other, before - checker.offset))
    wait_for_mark(other)
    one.sendall(pattern.at(before, after))
    if end:
        one.shutdown(socket.SHUT_WR)
    if inline:
        assert receive(other, 1) == b"!"
    else:
        assert take_urgent(other) == b"!"
    while checker.offset < before + after:
        checker.feed(receive(other, min(before + after - checker.offset, 1 << 16)))
    if end:
        assert other.recv(1) == b""
    else:
        converse(one, other, 2)


def wait_for_mark(sock):
    """Until the next byte is the urgent one."""
    deadline = time.monotonic() + patience(STALL)
    while not ioctl_int(sock, SIOCATMARK):
        assert time.monotonic() < deadline, "no urgent byte"
        time.sleep(0.0005)


def take_urgent(sock):
    """The urgent byte, which may come later than its announcement."""
    deadline, before = time.monotonic() + patience(STALL), sock.gettimeout()
    sock.setblocking(False)  # with a time-out Python waits for a byte in band first
    try:
        while True:
            try:
                return sock.recv(1, socket.MSG_OOB)
            except BlockingIOError:
                assert time.monotonic() < deadline, "no urgent byte"
                time.sleep(0.0005)
    finally:
        sock.settimeout(before)


def unread(sock):
    """Bytes that may be read (FIONREAD)."""
    return struct.unpack("i", fcntl.ioctl(sock.fileno(), 0x541B, bytes(4)))[0]

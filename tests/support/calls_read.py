"""Cases: reading."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import struct
import time

from tests.support.calls import (
    SOON,
    case,
    digest,
    later,
    libc,
    meanwhile,
    pattern,
    polled,
    raw_recv,
    read_to_end,
    tried,
    wait_readable,
)
from tests.support.scale import patience

DONTWAIT, PEEK, WAITALL = socket.MSG_DONTWAIT, socket.MSG_PEEK, socket.MSG_WAITALL
SO_PEEK_OFF = 42
TCP_INQ = 36
SPLICES = "tcp_splice_read() does not see the bypass queue"


@case
def recv_messages_of_many_sizes(client, server):
    sizes = (1, 10, 1000, 4096, 70000)
    for size in sizes:
        server.sendall(pattern(size))
    server.shutdown(socket.SHUT_WR)
    return digest(read_to_end(client))


@case
def recv_takes_several_messages_at_once(client, server):
    for word in (b"ab", b"cd", b"ef"):
        server.sendall(word)
    wait_readable(client)
    return client.recv(3), client.recv(100), tried(client.recv, 1, DONTWAIT)


@case
def recvmsg_with_many_iovecs(client, server):
    server.sendall(pattern(1000))
    server.sendall(pattern(1000, 1000))
    wait_readable(client)
    buffers = [bytearray(7) for _ in range(200)]
    got, ancillary, flags, address = client.recvmsg_into(buffers)
    rest = client.recv(4096)
    return got, b"".join(buffers), ancillary, flags, address, rest


@case
def recv_into_small_pieces(client, server):
    for number in range(4):
        server.sendall(pattern(50, number * 50))
    wait_readable(client)
    pieces, buffer = [], bytearray(7)
    while sum(map(len, pieces)) < 200:
        got = client.recv_into(buffer)
        pieces.append(bytes(buffer[:got]))
    return pieces


@case
def peek(client, server):
    server.sendall(b"abcdef")
    wait_readable(client)
    return client.recv(3, PEEK), client.recv(10, PEEK), client.recv(2), client.recv(10)


@case
def peek_over_messages(client, server):
    server.sendall(b"abc")
    server.sendall(b"def")
    wait_readable(client)
    return client.recv(4, PEEK), client.recv(10, PEEK), client.recv(4), client.recv(10, PEEK)


@case
def peek_waits(client, server):
    with meanwhile(later, 0.1, server.sendall, b"abc"):
        return client.recv(2, PEEK), client.recv(9)


@case(
    differs="sk_msg_recvmsg() does not know SO_PEEK_OFF",
    repaired=True,  # where TCP has no such option, before 6.9
    plain=(b"ab", b"cd", b"abcdef"),
    bypass=(b"ab", b"ab", b"abcdef"),
)
def peek_off(client, server):
    refused = tried(client.setsockopt, socket.SOL_SOCKET, SO_PEEK_OFF, 0)
    server.sendall(b"abcdef")
    wait_readable(client)
    if refused:
        return refused, client.recv(9)
    return client.recv(2, PEEK), client.recv(2, PEEK), client.recv(9)


@case
def dontwait_on_empty(client, server):
    return tried(client.recv, 9, DONTWAIT), tried(client.recv, 9, DONTWAIT | PEEK)


@case(
    differs="tcp_bpf_recvmsg() answers 0 when nothing is asked for",
    plain=("EAGAIN", b"", b"abc"),
    bypass=(b"", b"", b"abc"),
)
def recv_of_nothing(client, server):
    empty = tried(lambda: client.recvmsg(0, 0, DONTWAIT)[0])
    server.sendall(b"abc")
    wait_readable(client)
    return empty, tried(lambda: client.recvmsg(0, 0, DONTWAIT)[0]), client.recv(9)


@case
def waitall_one_message(client, server):
    server.sendall(pattern(1000))
    return client.recv(1000, WAITALL)


@case
def waitall_messages_that_are_there(client, server):
    for word in (b"ab", b"cd", b"ef"):
        server.sendall(word)
    wait_readable(client)
    return client.recv(6, WAITALL)


@case(
    differs="tcp_bpf_recvmsg() does not look at MSG_WAITALL",
    plain=b"abcdef",
    bypass=b"abc",
)
def waitall_messages_that_come(client, server):
    server.sendall(b"abc")
    wait_readable(client)
    with meanwhile(later, 0.2, server.sendall, b"def"):
        return client.recv(6, WAITALL)


@case(
    differs="tcp_stream_is_readable() does not apply SO_RCVLOWAT to the bypass queue",
    plain=(["OUT"], ["IN", "OUT"], b"abcdefghij"),
    bypass=(["IN", "OUT"], ["IN", "OUT"], b"abcdefghij"),
)
def rcvlowat(client, server):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 10)
    server.sendall(b"abcde")
    time.sleep(0.1)
    before = polled(client)
    server.sendall(b"fghij")
    wait_readable(client)
    return before, polled(client), client.recv(100)


@case(
    differs="tcp_bpf_recvmsg() does not look at SO_RCVLOWAT",
    plain=b"abcdefghijklmno",
    bypass=b"abcde",
)
def rcvlowat_of_recv(client, server):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 10)
    server.sendall(b"abcde")
    time.sleep(SOON)
    with meanwhile(later, 0.2, server.sendall, b"fghijklmno"):
        return client.recv(100)


@case
def rcvtimeo_on_empty(client, server):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 200_000))
    began = time.monotonic()
    got = raw_recv(client, 9)
    return got, 0.15 < time.monotonic() - began < patience(2)


@case
def rcvtimeo_is_not_reached(client, server):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(patience(5)), 0))
    with meanwhile(later, 0.2, server.sendall, b"abc"):
        return raw_recv(client, 9)


@case(
    differs="tcp_bpf_recvmsg() does not look at MSG_TRUNC",
    plain=(3, b"def"),
    bypass=("EFAULT", b"abcdef"),
)
def trunc_throws_away(client, server):
    server.sendall(b"abcdef")
    wait_readable(client)
    got = libc.recv(client.fileno(), None, 3, socket.MSG_TRUNC | DONTWAIT)
    return (got if got >= 0 else errno.errorcode[ctypes.get_errno()]), client.recv(9)


@case(
    differs="the control message is tcp_recvmsg()'s",
    plain=(b"abc", [3]),
    bypass=(b"abc", []),
)
def tcp_inq(client, server):
    client.setsockopt(socket.IPPROTO_TCP, TCP_INQ, 1)
    server.sendall(b"abcdef")
    wait_readable(client)
    data, ancillary, _, _ = client.recvmsg(3, 256)
    return data, [struct.unpack("i", value)[0] for _, _, value in ancillary]


# -- splice(2) ---------------------------------------------------------------------------


def spliced(sock, size):
    """What splice(2) moves into a pipe."""
    readable, writable = os.pipe()
    try:
        got = tried(os.splice, sock.fileno(), writable, size)
        return got if isinstance(got, str) else os.read(readable, got) if got else b""
    finally:
        os.close(readable)
        os.close(writable)


def converse_by_splice(one, other):
    for _ in range(4):
        one.sendall(b"?")
        wait_readable(other)
        assert spliced(other, 1) == b"?"
        other.sendall(b"!")
        wait_readable(one)
        assert spliced(one, 1) == b"!"


@case(state="plain", meet=converse_by_splice, taints=True)
def splice_by_who_always_splices(client, server):
    answers = []
    for number in range(4):
        server.sendall(pattern(1000, number * 1000))
        wait_readable(client)
        answers.append(spliced(client, 4096))
    server.close()
    return answers, spliced(client, 4096)


@case(
    differs=SPLICES,
    plain=(["IN", "OUT"], b"abc", "EAGAIN", b"def"),
    bypass=(["IN", "OUT"], "EAGAIN", b"abc", b"def"),
    taints=True,
)
def splice_after_recv(client, server):
    server.sendall(b"abc")
    wait_readable(client)
    before = polled(client)
    client.setblocking(False)
    got = spliced(client, 9)
    rest = tried(client.recv, 9)
    server.sendall(b"def")
    wait_readable(client)
    return before, got, rest, spliced(client, 9)


@case(differs=SPLICES, plain=(b"abc", b"def"), bypass=("EAGAIN", b"def"), taints=True)
def splice_only_after_recv(client, server):
    client.setblocking(False)
    answers = []
    for word in (b"abc", b"def"):
        server.sendall(word)
        wait_readable(client)
        answers.append(spliced(client, 9))
    return tuple(answers)


@case(differs=SPLICES, plain=b"abc", bypass="timeout", taints=True)
def splice_waits_after_recv(client, server):
    def give_up(*_):
        raise TimeoutError

    server.sendall(b"abc")
    wait_readable(client)
    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    return spliced(client, 9)

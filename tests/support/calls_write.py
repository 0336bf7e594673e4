"""Cases: writing."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
import tempfile
import time

from tests.support.calls import (
    case,
    digest,
    libc,
    meanwhile,
    pattern,
    polled,
    read_to_end,
    tried,
    wait_readable,
)
from tests.support.scale import patience
from tests.support.sockets import receive

DONTWAIT = socket.MSG_DONTWAIT
SIZES = (1, 2, 63, 1024, 4095, 4096, 4097, 65536, 262_144, 1 << 20, 4 << 20)
SO_ZEROCOPY, MSG_ZEROCOPY = 60, 0x4000000
SO_EE_ORIGIN_ZEROCOPY = 5
TO_ANOTHER = "what is bypassed does not wait for more"


@case
def sends_of_many_sizes(client, server):
    def read():
        for size in SIZES:
            assert receive(server, size) == pattern(size)

    with meanwhile(read):
        for size in SIZES:
            client.sendall(pattern(size))
    client.close()
    return read_to_end(server)


@case
def requests_and_answers_of_many_sizes(client, server):
    def answer():
        for size in SIZES:
            server.sendall(receive(server, size))

    with meanwhile(answer):
        for size in SIZES:
            client.sendall(pattern(size))
            assert receive(client, size) == pattern(size)
    return tried(client.recv, 1, DONTWAIT)


@case
def send_of_nothing(client, server):
    sent = client.send(b"")
    time.sleep(0.1)
    return sent, polled(server), tried(server.recv, 1, DONTWAIT)


@case
def sendmsg_with_many_iovecs(client, server):
    parts = [pattern(7, 8 * number) for number in range(300)]
    sent = client.sendmsg(parts)
    return sent, receive(server, sent) == b"".join(parts)


def fill(sock, size=65536, flags=0, taken=0):
    """Send until it refuses; how much it took since the first of all, and what it said."""
    while True:
        sent = tried(sock.send, pattern(size, taken), flags)
        if isinstance(sent, str):
            return taken, sent
        taken += sent


def drained(sock, size):
    """Whether exactly the pattern's first `size` bytes are there."""
    return receive(sock, size) == pattern(size), tried(sock.recv, 1, DONTWAIT)


@case
def sndtimeo_against_a_stalled_reader(client, server):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 300_000))
    taken, said = fill(client)
    return said, taken > 65536, drained(server, taken)


@case
def nonblocking_send_against_a_stalled_reader(client, server):
    client.setblocking(False)
    taken, said = fill(client)
    full = polled(client)
    data = drained(server, taken)
    return said, taken > 65536, full, data, polled(client, 5)


@case
def nonblocking_sends_of_little(client, server):
    client.setblocking(False)
    taken, said = fill(client, 4096)
    return said, taken > 65536, drained(server, taken)


@case
def dontwait_of_much(client, server):
    sent = client.send(pattern(32 << 20), DONTWAIT)
    taken, said = fill(client, 4096, DONTWAIT, sent)  # an ACK that is late makes room for more
    return 0 < sent < 32 << 20, said, drained(server, taken)


@case
def fill_and_drain_again_and_again(client, server):
    client.setblocking(False)
    answers = []
    for _ in range(4):
        taken, said = fill(client)
        answers.append((said, drained(server, taken)))
        server.sendall(b"!")
        wait_readable(client)
        assert client.recv(9) == b"!"
    return answers


@case
def sendfile(client, server):
    with tempfile.TemporaryFile() as file, meanwhile(lambda: got.append(receive(server, 300_001))):
        file.write(pattern(300_001))
        file.flush()
        sent = 0
        while sent < 300_001:
            sent += os.sendfile(client.fileno(), file.fileno(), sent, 300_001 - sent)
    return digest(got[0]), tried(server.recv, 1, DONTWAIT)


got: list[bytes] = []  # each case has a process of its own


@case
def splice_to_the_socket(client, server):
    readable, writable = os.pipe()
    data = pattern(200_000)

    def feed():
        os.write(writable, data)
        os.close(writable)

    with meanwhile(feed), meanwhile(lambda: got.append(receive(server, len(data)))):
        sent = 0
        while moved := os.splice(readable, client.fileno(), 65536):
            sent += moved
    return sent, got[0] == data


# -- MSG_ZEROCOPY ------------------------------------------------------------------------


def zerocopy(sock):
    """What setsockopt says."""
    return tried(sock.setsockopt, socket.SOL_SOCKET, SO_ZEROCOPY, 1) or "taken"


def notifications(sock, count):
    """The first and the last number of `count` sends that were done with their pages."""
    ranges = []
    poller = select.poll()
    poller.register(sock, 0)
    while sum(last - first + 1 for first, last in ranges) < count:
        assert poller.poll(patience(3000)), f"no notification after {ranges}"
        for _, _, value in sock.recvmsg(0, 256, socket.MSG_ERRQUEUE)[1]:
            _, origin, _, _, _, first, last = struct.unpack("IBBBBII", value[:16])
            assert origin == SO_EE_ORIGIN_ZEROCOPY
            ranges.append((first, last))
    return ranges[0][0], ranges[-1][1]


@case(state="plain", prepare=zerocopy)
def zerocopy_set_before(client, server):
    for number in range(3):
        client.send(pattern(20_000, number * 20_000), MSG_ZEROCOPY)
    return digest(receive(server, 60_000)), notifications(client, 3)


@case(
    differs="refused, because tcp_bpf_sendmsg() copies",
    plain=("taken", True, (0, 0)),
    bypass=("ENOTSUP", True, "none"),
)
def zerocopy_set_after(client, server):
    said = zerocopy(client)
    client.send(pattern(20_000), MSG_ZEROCOPY)
    same = receive(server, 20_000) == pattern(20_000)
    return said, same, notifications(client, 1) if said == "taken" else "none"


# -- what is held back -------------------------------------------------------------------


def at_once(client, server):
    """Whether the first of two parts came before the second was sent."""
    early = polled(server, 0.0 if polled(server) == ["IN", "OUT"] else 0.05)
    client.sendall(b"cd")
    return early, receive(server, 4)


@case(differs=TO_ANOTHER, plain=(["OUT"], b"abcd"), bypass=(["IN", "OUT"], b"abcd"))
def more(client, server):
    client.send(b"ab", socket.MSG_MORE)
    return at_once(client, server)


@case(differs=TO_ANOTHER, plain=(["OUT"], b"abcd"), bypass=(["IN", "OUT"], b"abcd"))
def cork(client, server):
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    client.send(b"ab")
    early = at_once_corked(client, server)
    return early, receive(server, 4)


def at_once_corked(client, server):
    early = polled(server)
    client.sendall(b"cd")
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
    return early


@case
def nodelay(client, server):
    for value in (0, 1):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, value)
        client.sendall(b"a" * 10)
        client.sendall(b"b" * 10)
    return receive(server, 40)


@case(
    differs="bpf_tcp_ingress() has no urgent bytes",
    plain=(["IN", "OUT", "PRI"], b"c", b"ab", "EAGAIN"),
    bypass=(["IN", "OUT"], b"a", b"bc", "EAGAIN"),
    repaired=True,
)
def oob(client, server):
    client.send(b"abc", socket.MSG_OOB)
    wait_readable(server)
    state = polled(server)
    urgent = tried(server.recv, 1, socket.MSG_OOB | DONTWAIT)
    return state, urgent, server.recv(9), tried(server.recv, 9, DONTWAIT)


@case
def oob_inline(client, server):
    server.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    client.sendall(b"12")
    client.send(b"3", socket.MSG_OOB)
    client.sendall(b"45")
    return receive(server, 5)


# -- many in one call --------------------------------------------------------------------


class Message(ctypes.Structure):
    """struct mmsghdr, with struct msghdr inside."""

    _fields_ = (
        ("name", ctypes.c_void_p), ("namelen", ctypes.c_uint), ("iov", ctypes.c_void_p),
        ("iovlen", ctypes.c_size_t), ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int), ("len", ctypes.c_uint),
    )  # fmt: skip


def messages(buffers):
    """An array of them, one for each buffer; and what has to live as long."""
    array = (Message * len(buffers))()
    vectors = []
    for message, buffer in zip(array, buffers, strict=True):
        vector = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), len(buffer))
        message.iov, message.iovlen = ctypes.addressof(vector), 1
        vectors.append(vector)
    return array, vectors


@case
def sendmmsg_and_recvmmsg(client, server):
    sent, _keep = messages([ctypes.create_string_buffer(pattern(100 * n), 100 * n) for n in (1, 2)])
    done = libc.sendmmsg(client.fileno(), sent, 2, 0)
    wait_readable(server)
    into = [ctypes.create_string_buffer(50) for _ in range(9)]
    received, _keep_too = messages(into)
    got = libc.recvmmsg(server.fileno(), received, 9, DONTWAIT, None)
    parts = [into[n].raw[: received[n].len] for n in range(max(got, 0))]
    return done, [each.len for each in sent], got, parts

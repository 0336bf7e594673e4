"""Cases: what a socket tells of itself, and options."""

from __future__ import annotations

import select
import socket
import struct
import termios
import time

from tests.support.calls import (
    SIOCATMARK,
    SIOCOUTQ,
    case,
    ioctl_int,
    pattern,
    polled,
    tried,
    wait_readable,
)
from tests.support.scale import patience
from tests.support.sockets import push_until_blocked, receive

FIONREAD = termios.FIONREAD
SO_TIMESTAMPNS, SO_TIMESTAMPING = 35, 37
TX_SOFTWARE, SOFTWARE, OPT_ID, OPT_TSONLY = 1 << 1, 1 << 4, 1 << 7, 1 << 11
TCP_ULP = 31


# Which answer a kernel gives is a probe of doctor's, and `attach` acts on it.
FIONREAD_OF_LITTLE = "tcp_bpf_ioctl() of some kernels counts the bypass queue alone"
FIONREAD_OF_TCP = "kernels without tcp_bpf_ioctl() count what came by TCP alone"


@case(
    differs=FIONREAD_OF_TCP,
    repaired=True,
    plain=[0, 150, 120, 120, 0],
    bypass=[0, 0, 0, 0, 0],
)
def fionread(client, server):
    told = [ioctl_int(client, FIONREAD)]
    for size in (100, 50):
        server.sendall(pattern(size))
    wait_readable(client)
    told.append(ioctl_int(client, FIONREAD))
    client.recv(30)
    told.append(ioctl_int(client, FIONREAD))
    client.recv(30, socket.MSG_PEEK)
    told.append(ioctl_int(client, FIONREAD))
    client.recv(200)
    return [*told, ioctl_int(client, FIONREAD)]


@case(
    differs=f"{FIONREAD_OF_LITTLE}; {FIONREAD_OF_TCP}",
    repaired=True,
    plain=("all", True, True),
    bypass=("less", True, True),
)
def fionread_mixed(client, server):
    """The first messages are bypassed; later ones are more than may lie unread so."""
    for number in range(400):
        server.sendall(pattern(100, number * 100))
    wait_readable(client)
    some = ioctl_int(client, FIONREAD)
    same = receive(client, 39_900) == pattern(39_900)
    told = (some, ioctl_int(client, FIONREAD))
    same_end = receive(client, 100) == pattern(100, 39_900)
    return "all" if told == (40_000, 100) else "less", same, same_end


def say_nothing(client, server):
    """So nothing has been granted."""


@case(
    state="passing",
    meet=say_nothing,
    differs=FIONREAD_OF_LITTLE,
    repaired=True,
    plain=(100, 70),
    bypass=(0, 0),
)
def fionread_before_anything_is_bypassed(client, server):
    server.sendall(pattern(100))
    wait_readable(client)
    before = ioctl_int(client, FIONREAD)
    client.recv(30)
    return before, ioctl_int(client, FIONREAD)


@case(differs=FIONREAD_OF_TCP, repaired=True, plain=(100, 0, b""), bypass=(0, 0, b""))
def fionread_before_the_end(client, server):
    server.sendall(pattern(100))
    server.shutdown(socket.SHUT_WR)
    wait_readable(client)
    before = ioctl_int(client, FIONREAD)
    client.recv(100)
    return before, ioctl_int(client, FIONREAD), client.recv(9)


@case
def siocoutq(client, server):
    time.sleep(0.2)  # until an acknowledgement that was put off has come
    told = [ioctl_int(server, SIOCOUTQ)]
    server.sendall(pattern(100))
    time.sleep(0.2)
    told.append(ioctl_int(server, SIOCOUTQ))
    client.recv(100)
    return [*told, ioctl_int(server, SIOCOUTQ), ioctl_int(client, SIOCATMARK)]


@case
def siocoutq_against_a_stalled_reader(client, server):
    taken = push_until_blocked(server, b"x" * 65536, quiet=0.2)  # until acknowledgements have come
    return 0 < ioctl_int(server, SIOCOUTQ) < taken


def tcp_info(sock):
    """struct tcp_info: state, ca_state, retransmits, options; then all its first words."""
    data = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return data[:3], data[5], struct.unpack("24I", data[8:104])


@case
def tcp_info_basics(client, server):
    for _ in range(5):
        client.sendall(pattern(100))
        receive(server, 100)
        server.sendall(pattern(100))
        receive(client, 100)
    time.sleep(0.2)  # until an acknowledgement that was put off has come
    heads = [tcp_info(sock)[:2] for sock in (client, server)]
    words = [tcp_info(sock)[2] for sock in (client, server)]
    # tcpi_unacked, sacked, lost, retrans
    return heads, [each[4:8] for each in words], [each[2] > 500 for each in words]


@case(
    differs="the bytes and segments of tcp_info are those of TCP",
    plain=(500, 5),
    bypass=(0, 0),
)
def tcp_info_of_bytes(client, server):
    def counts():
        data = server.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 168)
        received, _, segments = struct.unpack("QII", data[128:144])
        return received, segments

    before = counts()
    for _ in range(5):
        client.sendall(pattern(100))
        receive(server, 100)
    after = counts()
    return after[0] - before[0], after[1] - before[1]


@case
def names(client, server):
    kinds = (socket.SO_ERROR, socket.SO_TYPE, socket.SO_PROTOCOL, socket.SO_DOMAIN)
    return (
        client.getsockname() == server.getpeername(),
        server.getsockname() == client.getpeername(),
        [client.getsockopt(socket.SOL_SOCKET, each) for each in kinds],
        server.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN),
    )


@case
def options_that_are_kept(client, server):
    values = [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.SOL_SOCKET, socket.SO_RCVBUF, 100_000),
        (socket.SOL_SOCKET, socket.SO_SNDBUF, 100_000),
        (socket.SOL_SOCKET, socket.SO_PRIORITY, 3),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 7777),
        (socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0),
        (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 10_000),
        (socket.IPPROTO_IP, socket.IP_TOS, 8),
    ]
    told = []
    for level, option, value in values:
        told.append(tried(client.setsockopt, level, option, value))
        told.append(client.getsockopt(level, option))
    server.sendall(pattern(1000))
    client.sendall(pattern(1000))
    return told, receive(client, 1000) == receive(server, 1000)


@case
def small_buffers(client, server):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 10_000)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10_000)
    server.setblocking(False)
    # A proxy in between has room for MiB, of which a buffer so small gets 20 KiB each 200 ms: what
    # is less than a segment of loopback waits for the timer of zero windows.
    one = sent = 0
    while sent < 150_000 and isinstance(one := tried(server.send, pattern(1000, sent)), int):
        sent += one
    same = receive(client, sent) == pattern(sent)
    said = one if isinstance(one, str) else "room for all"
    return said, same, polled(server, 2), tried(client.recv, 9, socket.MSG_DONTWAIT)


# -- time stamps -------------------------------------------------------------------------


@case
def timestamping_of_what_is_sent(client, server):
    flags = TX_SOFTWARE | SOFTWARE | OPT_ID | OPT_TSONLY
    client.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, flags)
    told = []
    poller = select.poll()
    poller.register(client, 0)
    for _ in range(2):
        client.sendall(b"abc")
        told.append(receive(server, 3))
        assert poller.poll(patience(2000)), "no time stamp"
        ancillary = client.recvmsg(0, 512, socket.MSG_ERRQUEUE)[1]
        told.append(sorted((level, kind) for level, kind, _ in ancillary))
    return told


def stamps_received(client, server, option, value):
    client.setsockopt(socket.SOL_SOCKET, option, value)
    time.sleep(0.2)  # until the kernel stamps what comes
    told = []
    for _ in range(2):
        server.sendall(b"abc")
        wait_readable(client)
        data, ancillary, _, _ = client.recvmsg(9, 512)
        told.append((data, [kind for _, kind, _ in ancillary]))
        client.sendall(b"!")
        receive(server, 1)
    return told


@case
def timestamping_of_what_is_received(client, server):
    return stamps_received(client, server, SO_TIMESTAMPING, SOFTWARE | 1 << 3)


@case(
    differs="the control message is tcp_recvmsg()'s",
    plain=[(b"abc", [SO_TIMESTAMPNS])] * 2,
    bypass=[(b"abc", [])] * 2,
)
def timestampns_of_what_is_received(client, server):
    return stamps_received(client, server, SO_TIMESTAMPNS, 1)


# -- what is refused ---------------------------------------------------------------------


@case(
    differs="refused: TLS would take for plain text what is in the bypass queue",
    plain="as this kernel has it",
    bypass="ENOTSUP",
)
def tcp_ulp(client, server):
    said = tried(client.setsockopt, socket.IPPROTO_TCP, TCP_ULP, b"tls")
    return "as this kernel has it" if said in (None, "ENOENT") else said


@case
def tcp_ulp_unknown_options(client, server):
    time.sleep(0)
    return [
        tried(client.setsockopt, socket.IPPROTO_TCP, 9999, 1),
        tried(client.setsockopt, socket.SOL_SOCKET, 9999, 1),
        tried(client.setsockopt, socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"no-such"),
        tried(client.setsockopt, socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic"),
        tried(client.getsockopt, socket.IPPROTO_TCP, TCP_ULP, 16),
        tried(client.setsockopt, socket.SOL_SOCKET, 25, b"x" * 5000),
    ]

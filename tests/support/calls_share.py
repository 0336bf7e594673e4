"""Cases: one socket used by several processes, and signals."""

from __future__ import annotations

import array
import os
import signal
import socket
import struct

from tests.support.calls import (
    case,
    later,
    meanwhile,
    pattern,
    raw_recv,
    read_to_end,
    tried,
    wait_readable,
)
from tests.support.calls_end import WAITS_ONCE
from tests.support.sockets import receive


@case
def dup(client, server):
    twin = client.dup()
    server.sendall(b"abcdef")
    told = [client.recv(2), twin.recv(2)]
    client.close()
    server.sendall(b"ghi")
    wait_readable(twin)
    told.append(twin.recv(9))
    twin.sendall(b"xyz")
    told.append(server.recv(9))
    twin.close()
    return [*told, server.recv(9)]


def in_child(work):
    """What `work` answers in a child process."""
    inbox, outbox = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(outbox, work())
        os._exit(0)
    os.close(outbox)
    with os.fdopen(inbox, "rb") as told:
        answer = told.read()
    os.waitpid(pid, 0)
    return answer


@case
def fork_and_the_child_reads_the_rest(client, server):
    for number in range(10):
        server.sendall(pattern(100, number * 100))
    first = receive(client, 250)
    rest = in_child(lambda: receive(client, 750))
    server.sendall(b"abc")
    return first + rest == pattern(1000), client.recv(9)


@case
def fork_and_the_child_talks(client, server):
    def talk():
        for _ in range(20):
            client.sendall(b"ask")
            assert receive(client, 6) == b"answer"
        client.sendall(b"done")
        return b"good"

    def serve():
        for _ in range(20):
            assert receive(server, 3) == b"ask"
            server.sendall(b"answer")

    with meanwhile(serve):
        told = in_child(talk)
    return told, server.recv(9), tried(server.recv, 1, socket.MSG_DONTWAIT)


@case
def passed_to_another_process(client, server):
    ours, theirs = socket.socketpair()
    server.sendall(b"abcdef")
    wait_readable(client)
    first = client.recv(2)
    pid = os.fork()
    if not pid:
        ours.close()
        client.close()
        _, ancillary, _, _ = theirs.recvmsg(1, 64)
        numbers = array.array("i")
        numbers.frombytes(ancillary[0][2][:4])
        with socket.socket(fileno=numbers[0]) as passed:
            got = passed.recv(9)
            passed.sendall(b"got " + got)
        os._exit(0)
    ours.sendmsg(
        [b"!"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", client.fileno()))]
    )
    client.close()
    os.waitpid(pid, 0)
    ours.close()
    theirs.close()
    return first, read_to_end(server)


# -- signals -----------------------------------------------------------------------------


def alarmed(client, server, restart):
    """A signal comes while recv waits, and data after it."""
    rung = []
    signal.signal(signal.SIGALRM, lambda *_: rung.append(True))
    signal.siginterrupt(signal.SIGALRM, not restart)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    with meanwhile(later, 0.4, server.sendall, b"abc"):
        said = raw_recv(client, 9)
    return said, rung


@case(differs=WAITS_ONCE, plain=("EINTR", [True]), bypass=("EAGAIN", [True]))
def signal_interrupts_recv(client, server):
    return alarmed(client, server, False)


@case(differs=WAITS_ONCE, plain=(b"abc", [True]), bypass=("EAGAIN", [True]))
def signal_with_restart(client, server):
    return alarmed(client, server, True)


@case
def signal_interrupts_send(client, server):
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.siginterrupt(signal.SIGALRM, True)
    data = pattern(32 << 20)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    sent = client.send(data)
    return 0 < sent < 32 << 20, receive(server, sent) == pattern(sent)

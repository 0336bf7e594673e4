"""FIONREAD counts all that is there on an enrolled socket: what came by TCP, and what skipped it.

From 929e30f93125 (6.6.128, 6.12.75, 6.18.14) to 04af4efde58a (2026-07) tcp_bpf_ioctl() counts
what skipped TCP and forgets what came by TCP; kernels before have it the other way round. A
program that asks before it reads waits for ever. Those that are known to ask are then left
alone by `attach`, by name.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios

from sockproxy.bypass.left_alone import FIONREAD, FIONREAD_USERS
from sockproxy.doctor.probe import Kind, Probe
from sockproxy.doctor.sockets import bypassed, converse, tcp_pair
from sockproxy.errors import SockproxyError
from sockproxy.proof.mechanisms import BYPASS

__all__ = ["PROBE"]

USERS = ", ".join(FIONREAD_USERS)


def run() -> str:
    with bypassed() as seen:
        one, other = tcp_pair()
        with one, other:
            by_tcp = _counted(one, other)  # as nobody has answered yet
            converse(one, other)
            before = seen("bypassed_messages")
            past_tcp = _counted(one, other)
            if seen("bypassed_messages") == before:
                raise SockproxyError("not tried: the message was not bypassed")
    if not by_tcp or not past_tcp:
        raise SockproxyError(f"it forgets what {'skipped' if by_tcp else 'came by'} TCP")
    return "all that is there"


def _counted(one: socket.socket, other: socket.socket) -> bool:
    """Send a byte: whether it is counted."""
    one.sendall(b"!")
    other.recv(1, socket.MSG_PEEK)  # it is there
    (count,) = struct.unpack("i", fcntl.ioctl(other.fileno(), termios.FIONREAD, bytes(4)))
    other.recv(1)
    return bool(count == 1)


PROBE = Probe(
    FIONREAD,
    run,
    f"'attach' leaves {USERS} alone; name others that ask with --except",
    Kind.BUG,
    limits={BYPASS: f"{USERS} stay on TCP"},
)

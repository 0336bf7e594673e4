"""Bytes go from socket to socket in the kernel, and so does the end of the stream."""

from __future__ import annotations

import socket

from sockproxy.doctor.probe import KERNEL, Kind, Probe
from sockproxy.doctor.sockets import spliced_pair
from sockproxy.errors import SockproxyError
from sockproxy.proof.mechanisms import SPLICE
from sockproxy.splicer.splicer import Splicer

__all__ = ["PROBE"]


def run() -> str:
    with Splicer(pairs=2, eager=True, force=True) as splicer:
        client, server, splice = spliced_pair(splicer)
        client.sendall(b"request")
        echoed = server.recv(100)
        moved = splice.stats().forward.redirected
        client.shutdown(socket.SHUT_WR)
        end = server.recv(1)
        client.close()
        server.close()
    if (echoed, moved, end) != (b"request", 7, b""):
        raise SockproxyError(f"sent 7 bytes, received {len(echoed)}, {moved} by the kernel")
    return "7 bytes and an end of stream"


PROBE = Probe("redirect", run, KERNEL, Kind.DOES, (SPLICE,))

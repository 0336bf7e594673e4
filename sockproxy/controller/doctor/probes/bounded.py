"""A stalled reader stops its sender, and gets everything when it wakes.

The kernel's own queue of redirected bytes has no bound (seen up to
6.18.44, no fix known); the parser's "not now" has to hold the sender.
"""

from __future__ import annotations

import socket

from sockproxy.controller.doctor.probe import SPLICE, Kind, Probe
from sockproxy.controller.doctor.sockets import PATIENCE, spliced_pair
from sockproxy.controller.splicer import Splicer
from sockproxy.errors import SockproxyError

__all__ = ["PROBE"]

STALL_BYTES = 64 << 20


def run() -> str:
    with Splicer(pairs=2, eager=True) as splicer:
        client, server, splice = spliced_pair(splicer)
        for sock in (client, server):
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, 1 << 18)
        client.settimeout(0.5)
        taken = 0
        try:
            while taken < STALL_BYTES:
                taken += client.send(bytes(1 << 16))
        except TimeoutError:
            pass
        received = 0
        client.close()
        while part := server.recv(1 << 20):
            received += len(part)
        server.close()
        holds = splice.wait(PATIENCE).forward.holds
    if taken >= STALL_BYTES or received != taken or not holds:
        raise SockproxyError(f"{taken} bytes taken, {received} received, held {holds} times")
    return f"blocked after {taken >> 20} MiB, all of it arrived"


PROBE = Probe(
    "bounded memory",
    run,
    "this kernel does not stop a sender: use 'proxy --relay', and report it",
    Kind.DOES,
    (SPLICE,),
)

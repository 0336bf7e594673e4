"""A direction can be thrown away: what its verdict drops is gone, and its end still arrives."""

from __future__ import annotations

import socket

from sockproxy.doctor.probe import KERNEL, Kind, Probe
from sockproxy.doctor.sockets import patience, spliced_pair
from sockproxy.errors import SockproxyError
from sockproxy.proof.mechanisms import SPLICE
from sockproxy.splicer.splicer import Splicer

__all__ = ["PROBE"]


def run() -> str:
    with Splicer(pairs=2, eager=True, force=True) as splicer:
        client, server, splice = spliced_pair(splicer)
        client.sendall(b"kept")
        kept = server.recv(100)
        splice.drop("forward")
        client.sendall(b"thrown away")
        client.shutdown(socket.SHUT_WR)
        rest = server.recv(100)
        client.close()
        server.close()
        dropped = splice.wait(patience()).forward.dropped
    if (kept, rest, dropped) != (b"kept", b"", 11):
        raise SockproxyError(f"kept {kept!r}, then {rest!r}, {dropped} of 11 bytes dropped")
    return "11 bytes, and the end of the stream after them"


PROBE = Probe("drop", run, KERNEL, Kind.DOES, (SPLICE,))

"""A stalled reader stops its sender, and gets every byte in its place when it wakes.

The kernel's own queue of redirected bytes has no bound (seen up to
6.18.44, no fix known); the parser's "not now" has to hold the sender. A socket that is full
takes parts of an skb: kernels without 3b4f14b79428 and 7683167196bd (6.12.35) could then send
some of it twice, or not at all.
"""

from __future__ import annotations

import socket

from sockproxy.doctor.probe import Kind, Probe
from sockproxy.doctor.sockets import patience, spliced_pair
from sockproxy.errors import SockproxyError
from sockproxy.proof.mechanisms import SPLICE
from sockproxy.splicer.splicer import Splicer

__all__ = ["PROBE"]

STALL_BYTES = 64 << 20
BLOCK = 1 << 16
PATTERN = b"".join(number.to_bytes(8, "big") for number in range(BLOCK // 8))


def run() -> str:
    with Splicer(pairs=2, eager=True, force=True) as splicer:
        client, server, splice = spliced_pair(splicer)
        for sock in (client, server):
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, 1 << 18)
        client.settimeout(patience() / 4)
        taken = 0
        try:
            while taken < STALL_BYTES:
                # What is sent depends on where it stands, and the block on its number.
                start = taken % BLOCK
                taken += client.send(_expected(taken - start, BLOCK)[start:])
        except TimeoutError:
            pass
        received, right = 0, True
        client.close()
        while part := server.recv(BLOCK - received % BLOCK):
            start = received % BLOCK
            block = _expected(received - start, BLOCK)
            right = right and part == block[start : start + len(part)]
            received += len(part)
        server.close()
        holds = splice.wait(patience()).forward.holds
    if taken == received < STALL_BYTES and right and not holds:
        raise TimeoutError("the sender was stopped before anything was held")
    if taken >= STALL_BYTES or received != taken or not holds or not right:
        raise SockproxyError(
            f"{taken} bytes taken, {received} received, {'all right' if right else 'wrong ones'},"
            f" held {holds} times"
        )
    return f"blocked after {taken >> 20} MiB, all of it arrived"


def _expected(start: int, length: int) -> bytes:
    """A block of the stream, which begins at a multiple of BLOCK."""
    return (start // BLOCK).to_bytes(8, "big") + PATTERN[8:length]


PROBE = Probe(
    "bounded memory",
    run,
    "this kernel does not stop a sender: use 'proxy --relay', and report it",
    Kind.DOES,
    (SPLICE,),
)

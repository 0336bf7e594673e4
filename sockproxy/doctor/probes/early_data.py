"""Bytes that came before a socket was spliced are moved first, ten times over.

Kernels without the fixes of 6.14 move copied_seq wrongly when a parser starts on a queue that
holds something: the stream then stalls, or repeats.
"""

from __future__ import annotations

from sockproxy.doctor.probe import Kind, Probe
from sockproxy.doctor.sockets import patience, tcp_pair
from sockproxy.errors import SockproxyError, Unsupported
from sockproxy.proof.mechanisms import SPLICE
from sockproxy.splicer.splicer import Splicer

__all__ = ["PROBE"]

ROUNDS = 10


def run() -> str:
    with Splicer(pairs=2, eager=True, force=True) as splicer:
        if not splicer.accelerated:
            raise Unsupported("not tried: the programs do not load", hint="see 'splice: moving'")
        for number in range(ROUNDS):
            client, near = tcp_pair()
            server, far = tcp_pair()
            early, late = b"early %d" % number, b" late %d" % number
            client.sendall(early)
            near.recv(1, 0x02)  # MSG_PEEK: it is there
            splice = splicer.splice(near, far)
            client.sendall(late)
            client.close()
            received = b""
            while part := server.recv(100):
                received += part
            server.close()
            splice.wait(patience())
            if received != early + late:
                raise SockproxyError(f"round {number}: received {received!r}")
    return f"in order, {ROUNDS} times"


PROBE = Probe(
    "early data",
    run,
    "use 'proxy --relay' on this kernel, and report it",
    Kind.BUG,
    (SPLICE,),
)

"""An urgent byte (MSG_OOB) is one on a bypassed connection too.

bpf_tcp_ingress() has no urgent bytes. Where the sk_msg program can look at its system call
it leaves such a message to TCP; where it cannot, the byte comes in its place, as others do.
"""

from __future__ import annotations

import select
import socket

from sockproxy.doctor.probe import Kind, Probe
from sockproxy.doctor.sockets import bypassed, converse, patience, tcp_pair
from sockproxy.errors import SockproxyError
from sockproxy.proof.mechanisms import BYPASS

__all__ = ["PROBE"]


def run() -> str:
    with bypassed():
        one, other = tcp_pair()
        with one, other:
            converse(one, other)
            one.send(b"!", socket.MSG_OOB)
            other.settimeout(None)  # with one, Python waits for ordinary bytes before it asks
            ordinary, _, urgent = select.select([other], [], [other], patience())
            if not ordinary and not urgent:
                raise TimeoutError("nothing came")
            if not urgent or other.recv(1, socket.MSG_OOB) != b"!":
                raise SockproxyError("it comes as any other byte")
    return "out of band"


PROBE = Probe(
    "urgent bytes",
    run,
    "leave programs that use MSG_OOB alone: 'attach --except' or '--deny'",
    Kind.BUG,
    limits={BYPASS: "MSG_OOB is an ordinary byte"},
)

"""splice(2) reads what was bypassed.

tcp_splice_read() looks into TCP's queue and not into the bypass queue (seen
on 6.18.44, and so in the sources of 6.1 to 7.2). Programs that read so are noticed, and left to
TCP; HAProxy is left alone by name.
"""

from __future__ import annotations

import os

from sockproxy.doctor.probe import Kind, Probe
from sockproxy.doctor.sockets import bypassed, converse, patience, tcp_pair
from sockproxy.errors import SockproxyError
from sockproxy.proof.mechanisms import BYPASS

__all__ = ["PROBE"]


def run() -> str:
    source, sink = os.pipe()
    with bypassed() as seen:
        one, other = tcp_pair()
        one.settimeout(patience())
        converse(one, other)
        before = seen("bypassed_messages")
        one.sendall(b"!")
        if seen("bypassed_messages") == before:
            raise SockproxyError("not tried: the message was not bypassed")
        try:
            moved = os.splice(other.fileno(), sink, 1, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            moved = 0
        finally:
            one.close()
            other.close()
            os.close(source)
            os.close(sink)
    if moved != 1:
        raise SockproxyError("it does not see what was bypassed")
    return "what was bypassed"


PROBE = Probe(
    "splice reads",
    run,
    "programs that read with splice(2) are noticed, and stay on TCP; see docs/compatibility.md",
    Kind.BUG,
    limits={BYPASS: "who reads with splice(2) stays on TCP"},
)

"""A connection goes on when it is taken out of the bypass.

From 6.0 to b40cc5a (2026-01) bytes that were read from the bypass queue could move copied_seq:
TCP then waited for bytes that it had. See also CVE-2026-98925.
"""

from __future__ import annotations

from sockproxy.doctor.probe import Kind, Probe
from sockproxy.doctor.sockets import bypassed, converse, tcp_pair
from sockproxy.errors import SockproxyError
from sockproxy.proof.mechanisms import BYPASS

__all__ = ["PROBE"]


def run() -> str:
    with bypassed() as seen:
        one, other = tcp_pair()
        converse(one, other)
        if not seen("bypassed_messages"):
            raise SockproxyError("not tried: no message was bypassed")
    with one, other:
        converse(one, other)
    return "by TCP, from where it was"


PROBE = Probe(
    "leave the bypass",
    run,
    "use 'attach --observe' on this kernel, and report it",
    Kind.BUG,
    (BYPASS,),
)

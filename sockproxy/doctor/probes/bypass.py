"""Messages between two sockets of a cgroup skip TCP, and none is left behind by detach."""

from __future__ import annotations

from sockproxy.doctor.probe import Kind, Probe
from sockproxy.doctor.sockets import bypassed, converse, patience, tcp_pair
from sockproxy.errors import SockproxyError
from sockproxy.proof.mechanisms import BYPASS

__all__ = ["PROBE"]


def run() -> str:
    with bypassed() as seen:
        one, other = tcp_pair()
        one.settimeout(patience())
        converse(one, other)
        one.close()
        other.close()
        past = seen("bypassed_messages")
    if not past:
        raise SockproxyError("no message was bypassed")
    return f"{past} of 16 messages skipped TCP"


PROBE = Probe(
    "bypass",
    run,
    "use 'attach --observe', or only 'proxy', on this kernel",
    Kind.DOES,
    (BYPASS,),
)

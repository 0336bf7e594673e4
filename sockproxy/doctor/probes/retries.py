"""Redirected bytes that a full socket did not take are sent when it has room.

Since 29173d07f798 (6.4, 6.1.32) the work of sk_psock_backlog() is a delayed one that comes
back after EAGAIN. Before, nobody calls it again where the socket's own parser is not
running, and the stream stalls for good: seen on 5.10, where both directions were held.
"""

from __future__ import annotations

from contextlib import closing

from sockproxy.bpf.splice import SockmapKernel
from sockproxy.doctor.probe import Kind, Probe
from sockproxy.errors import SockproxyError
from sockproxy.proof.mechanisms import SPLICE

__all__ = ["PROBE"]


def run() -> str:
    with closing(SockmapKernel(8)) as kernel:
        if not kernel.retries():
            raise SockproxyError("it does not try again")
    return "tried again"


PROBE = Probe(
    "full target",
    run,
    "use a later kernel; 'proxy' relays until then",
    Kind.DOES,
    (SPLICE,),
)

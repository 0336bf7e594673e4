"""What comes before accept() is read after it on a socket that sock_ops has enrolled.

So are all of a proxy's, before it splices them. From 6.0 to 6.4, without ea444185 and
901546fd8f9c, such data stalls in some sockmaps, and a FIN gives EAGAIN in place of 0.
"""

from __future__ import annotations

from sockproxy.doctor.probe import Kind, Probe
from sockproxy.doctor.sockets import accept_late, enrolling
from sockproxy.errors import SockproxyError
from sockproxy.proof.mechanisms import ENROL

__all__ = ["PROBE"]


def run() -> str:
    with enrolling() as kernel:
        found = accept_late()
        enrolled = kernel.enrolments()["enrolled"]
    if enrolled != 2:
        raise SockproxyError(f"not tried: {enrolled} of 2 sockets were enrolled")
    return found


PROBE = Probe(
    "accept of enrolled",
    run,
    "'proxy' enrols sockets one by one on this kernel; report it",
    Kind.BUG,
    (ENROL,),
)

"""What comes before accept() is read after it, and the end of the stream wakes a poller.

From 6.0 to 6.4, without ea444185 and 901546fd8f9c, data that came before accept() stalls on
an enrolled socket, and a FIN gives EAGAIN in place of 0.
"""

from __future__ import annotations

from sockproxy.doctor.probe import Kind, Probe
from sockproxy.doctor.sockets import accept_late, bypassed
from sockproxy.proof.mechanisms import BYPASS

__all__ = ["PROBE"]


def run() -> str:
    with bypassed():
        return accept_late()


PROBE = Probe(
    "late accept",
    run,
    "use 'attach --observe' on this kernel, and report it",
    Kind.BUG,
    (BYPASS,),
)

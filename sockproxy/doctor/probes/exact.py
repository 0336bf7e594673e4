"""A verdict without a parser gives every byte once.

It does not, on any kernel: tcp_read_skb() hands over whole skbs and does not look at
copied_seq, so that a retransmitted segment which overlaps what was read comes twice; and
nothing bounds what waits. See docs/decisions/0002-parser-path.md.
"""

from __future__ import annotations

from sockproxy.doctor.probe import Kind, Probe
from sockproxy.errors import SockproxyError
from sockproxy.proof.mechanisms import VERDICT_ONLY

__all__ = ["PROBE"]


def run() -> str:
    raise SockproxyError("segments that overlap come twice, and nothing bounds what waits")


PROBE = Probe(
    "exact",
    run,
    "it is for measurements: 'proxy --verdict-only --force'",
    Kind.BUG,
    (VERDICT_ONLY,),
)

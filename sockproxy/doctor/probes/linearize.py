"""A long message of the stream parser that goes to a receive queue does not crash the kernel.

CVE-2025-38165: skb_linearize() hits a BUG for messages of over some 100 KB that a verdict
passes or redirects with BPF_F_INGRESS. Mended by 5ca2e29f6834 (6.16, 6.15.3, 6.12.34, 6.6.94,
6.1.142).
"""

from __future__ import annotations

from sockproxy.doctor.probe import Kind, Probe
from sockproxy.doctor.versions import must_not_be

__all__ = ["PROBE"]

AFFECTED = (
    ("6.1.54", "6.1.142"),
    ("6.5.4", "6.6.94"),
    ("6.7", "6.12.34"),
    ("6.13", "6.15.3"),
)


def run() -> str:
    return must_not_be(AFFECTED)


PROBE = Probe(
    "linearize",
    run,
    "update the kernel",
    Kind.GATE,
    avoided="no skb is passed or redirected to a receive queue: a splice redirects to the"
    " sending side alone",
)

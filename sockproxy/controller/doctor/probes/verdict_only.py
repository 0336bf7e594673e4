"""The splice's variant without a parser loads.

It is for measurements: tcp_read_skb() does not honour copied_seq, so that a segment which
overlaps what was read can come twice, and nothing bounds what waits.
"""

from __future__ import annotations

from sockproxy.controller.doctor.probe import KERNEL, Kind, Probe
from sockproxy.controller.mechanisms import VERDICT_ONLY
from sockproxy.kernel import SockmapKernel

__all__ = ["PROBE"]


def run() -> str:
    SockmapKernel(8, parser=False).close()
    return "for measurements only: not exact, not bounded"


PROBE = Probe("verdict only", run, KERNEL, Kind.LOADS, (VERDICT_ONLY,))

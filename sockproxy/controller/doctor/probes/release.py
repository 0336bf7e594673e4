"""The kernel is 5.10 or later.

Older ones lack helpers that every program needs, and stall for good: a stream at 2047 MiB on
5.9, more than fifty connections at once on 4.19.
"""

from __future__ import annotations

from sockproxy.controller.doctor.probe import Kind, Probe
from sockproxy.controller.doctor.versions import must_not_be
from sockproxy.controller.mechanisms import MECHANISMS

__all__ = ["PROBE"]


def run() -> str:
    return must_not_be([("0.0", "5.10")])


PROBE = Probe("release before 5.10", run, "use Linux 5.10 or later", Kind.GATE, MECHANISMS)

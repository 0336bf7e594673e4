"""The kernel is 5.10 or later.

Older ones lack helpers that every program needs, and stall for good: a stream at 2047 MiB on
5.9, more than fifty connections at once on 4.19.
"""

from __future__ import annotations

from sockproxy.doctor.probe import Kind, Probe
from sockproxy.doctor.versions import upstream
from sockproxy.errors import SockproxyError
from sockproxy.proof.mechanisms import MECHANISMS

__all__ = ["PROBE"]


def run() -> str:
    version = upstream()
    told = ".".join(map(str, version))
    if version < (5, 10, 0):
        raise SockproxyError(f"{told} is older")
    return told


PROBE = Probe("5.10 or later", run, "use Linux 5.10 or later", Kind.GATE, MECHANISMS)

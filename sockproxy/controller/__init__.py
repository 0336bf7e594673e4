"""Pairs of sockets and their life-cycle, the proxy, and what can be asked of them."""

from __future__ import annotations

from sockproxy.controller.splicer import Splice, Splicer
from sockproxy.controller.stats import DirectionStats, PairStats
from sockproxy.controller.streams import detach_stream, detach_transport

__all__ = [
    "DirectionStats",
    "PairStats",
    "Splice",
    "Splicer",
    "detach_stream",
    "detach_transport",
]

"""Pairs of sockets and their life-cycle, the proxy, and what can be asked of them."""

from __future__ import annotations

from sockproxy.controller.splicer import Splice, Splicer
from sockproxy.controller.stats import DirectionStats, PairStats

__all__ = ["DirectionStats", "PairStats", "Splice", "Splicer"]

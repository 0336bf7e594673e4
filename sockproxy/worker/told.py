"""What the native worker tells, as Python has it: words and counters."""

from __future__ import annotations

from typing import Any

from sockproxy.native import ffi
from sockproxy.worker.address import place
from sockproxy.worker.stats import DirectionStats, PairStats, Totals

__all__ = ["STATES", "pair_stats", "text", "totals"]

STATES = ("pump", "redirect", "drain", "finished")
"""By their numbers: enum state of native/channel.h."""

SECOND = 1e9  # ns


def text(words: Any) -> str:
    """A string of C."""
    return bytes(ffi.string(words)).decode(errors="replace")


def _direction(stats: Any) -> DirectionStats:
    return DirectionStats(
        state=STATES[stats.state],
        why=text(stats.why),
        redirected=stats.redirected,
        redirected_skbs=stats.redirected_skbs,
        pumped=stats.pumped,
        passed=stats.passed,
        passed_skbs=stats.passed_skbs,
        dropped=stats.dropped,
        dropped_skbs=stats.dropped_skbs,
        lost=stats.lost,
        holds=stats.holds,
        largest_backlog=stats.largest_backlog,
        short_circuited=stats.past,
        short_circuited_messages=stats.past_messages,
    )


def pair_stats(worker: Any, stats: Any) -> PairStats:
    """Of a struct pair_stats of this struct worker."""
    return PairStats(
        stats.number,
        stats.service,
        place(worker, stats.client.far),
        place(worker, stats.client.near),
        place(worker, stats.upstream.far),
        place(worker, stats.upstream.near),
        stats.age / SECOND,
        stats.connecting / SECOND,
        text(stats.outcome) if stats.outcome else None,
        _direction(stats.forward),
        _direction(stats.backward),
        text(stats.why_not_past),
    )


def totals(sums: Any) -> Totals:
    """Of a struct totals."""
    return Totals(
        sums.pairs,
        sums.reset,
        sums.redirected,
        sums.pumped,
        sums.dropped,
        sums.holds,
        sums.past,
    )

"""What a bypass that only observes would have something to gain for, service by service."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum
from typing import Any

from sockproxy.bpf.abi import Plain, Role
from sockproxy.bpf.listing import Connection
from sockproxy.bpf.observed import Observed

__all__ = ["Gain", "services_of"]

FEW = 4  # answers of a connection, from which on it may gain more than it costs to enter and leave


class Gain(StrEnum):
    """What would be gained."""

    REQUESTS = "requests"
    SHORT = "none: they end after a request or two"
    STREAMS = "none: they stream, which TCP does as fast"
    APART = "none: no connection has both ends in it, and fit"
    UNKNOWN = "not known yet: nothing was answered"


def services_of(
    ended: Iterable[Observed], live: Iterable[Connection], budget: int
) -> list[dict[str, Any]]:
    """Where connections are accepted, as `status --json` shows it, those with most answers first.

    budget: bytes that a bypass queue may hold. A connection that began before the bypass is in none
    of it.
    """
    sums = {each.local: each for each in ended}
    for each in live:
        if each.role is Role.ACCEPTER:
            before = sums.get(each.local, Observed(each.local, 0, 0, 0, 0))
            sums[each.local] = _with(before, each)
    rows = [_row(each, budget) for each in sums.values()]
    return sorted(rows, key=lambda row: (-row["answers"], -row["connections"], row["service"]))


def _with(sums: Observed, one: Connection) -> Observed:
    """`sums`, and a connection that lives."""
    if one.plain is not Plain.NOT:
        return replace(sums, connections=sums.connections + 1)
    return Observed(
        sums.local,
        sums.connections + 1,
        sums.paired + 1,
        sums.bytes + one.bytes_sent + one.bytes_received,
        sums.rounds + one.rounds,
    )


def _row(each: Observed, budget: int) -> dict[str, Any]:
    return {
        "service": each.local,
        "connections": each.connections,
        "paired": each.paired,
        "bytes": each.bytes,
        "answers": each.rounds,
        "gain": _gain(each, budget).name.lower(),
    }


def _gain(each: Observed, budget: int) -> Gain:
    if not each.paired:
        return Gain.APART
    if not each.rounds:
        return Gain.STREAMS if each.bytes > budget * each.paired else Gain.UNKNOWN
    if each.bytes > budget * each.rounds:
        return Gain.STREAMS
    return Gain.REQUESTS if each.rounds >= FEW * each.paired else Gain.SHORT

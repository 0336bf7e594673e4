"""What a bypass that only observes would have something to gain for, service by service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from sockproxy.bpf.listing import Connection
from sockproxy.bpf.observed import Observed, observed_of

__all__ = ["services_of"]

Place = tuple[str, int]


def services_of(
    ended: Mapping[Place, Observed], live: Iterable[Connection]
) -> list[dict[str, Any]]:
    """Where connections are accepted, as `status --json` shows it, those with most answers first.
    A connection that began while nothing observed is in none of it."""
    sums: dict[Place, Observed] = dict(ended)
    for each in live:
        if (one := observed_of(each)) is not None:
            sums.setdefault(each.local, Observed()).add(one)
    rows = [_row(place, found) for place, found in sums.items()]
    return sorted(rows, key=lambda row: (-row["answers"], -row["connections"], row["service"]))


def _row(place: Place, found: Observed) -> dict[str, Any]:
    all_of_them = found.apart + found.brief + found.streams + found.requests
    return {"service": place, "connections": all_of_them, **asdict(found)}

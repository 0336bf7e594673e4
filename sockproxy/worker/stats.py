"""What connections have done, as plain data: the shapes behind `connections --json`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

__all__ = ["DirectionStats", "PairStats", "Reading", "Sums", "Totals", "document", "sum_of"]


@dataclass(frozen=True, slots=True)
class DirectionStats:
    """One direction. Counters are of bytes unless they say skbs.

    redirected: moved by the kernel; pumped: moved by user space with splice(2);
    passed: left by the verdict program to the socket's own reader; dropped: thrown away on
    request; lost: redirected to a target that was reset at that moment.
    largest_backlog: the most memory that redirected bytes took while they waited.
    short_circuited: went from the far end to the other without us.
    """

    state: str
    why: str
    redirected: int
    redirected_skbs: int
    pumped: int
    passed: int
    passed_skbs: int
    dropped: int
    dropped_skbs: int
    lost: int
    holds: int
    largest_backlog: int
    short_circuited: int = 0
    short_circuited_messages: int = 0

    @property
    def moved(self) -> int:
        """Bytes that left the source."""
        ours = self.redirected + self.pumped + self.passed + self.dropped + self.lost
        return ours + self.short_circuited


@dataclass(frozen=True, slots=True)
class PairStats:
    """A pair. Addresses are (host, port); times are in seconds.

    service: the number of the Service whose client it is; 0 also where both ends were given.
    age: since it has both ends. connecting: from the client's accept to that; 0 where both were
    given. client and upstream are the far ends; *_local our own addresses towards them.
    why_not_short_circuited: why messages do not go past us; "" where they may.
    """

    number: int
    service: int
    client: tuple[str, int]
    client_local: tuple[str, int]
    upstream: tuple[str, int]
    upstream_local: tuple[str, int]
    age: float
    connecting: float
    outcome: str | None
    forward: DirectionStats
    backward: DirectionStats
    why_not_short_circuited: str = ""


@dataclass(frozen=True, slots=True)
class Totals:
    """What some connections did: connections, bytes, and holds."""

    pairs: int = 0
    reset: int = 0
    redirected: int = 0
    pumped: int = 0
    dropped: int = 0
    holds: int = 0
    short_circuited: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """All connections of a worker at a moment. Each is in one of the two: sums count none twice.

    live: in the order in which they began.
    """

    ended: Totals
    live: tuple[PairStats, ...]


@dataclass(frozen=True, slots=True)
class Sums:
    """All connections of a worker at a moment, each in one of the two."""

    ended: Totals
    live: Totals


def sum_of(totals: Iterable[Totals]) -> Totals:
    """All of them together."""
    return Totals(*map(sum, zip(*map(_values_of, totals), strict=True)))


_values_of = attrgetter(*(field.name for field in fields(Totals)))
_OF_DIRECTION = tuple(field.name for field in fields(DirectionStats))
_OF_PAIR = tuple(field.name for field in fields(PairStats))


def document(stats: PairStats) -> dict[str, Any]:
    """As dataclasses.asdict(), in a tenth of its time: there may be ten thousand of them."""
    made = {name: getattr(stats, name) for name in _OF_PAIR}
    for side in ("forward", "backward"):
        made[side] = {name: getattr(made[side], name) for name in _OF_DIRECTION}
    return made

"""What a pair has done, as plain data: the shape behind `connections --json`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sockproxy.worker.direction import Direction
    from sockproxy.worker.pair import Pair

__all__ = ["DirectionStats", "PairStats", "pair_stats"]


@dataclass(frozen=True, slots=True)
class DirectionStats:
    """One direction. Counters are of bytes unless they say skbs.

    redirected: moved by the kernel; pumped: moved by user space with splice(2);
    passed: left by the verdict to the socket's own reader; dropped: thrown away on
    request; lost: redirected to a target that was reset at that moment.
    largest_backlog: the most memory that redirected bytes took while they waited.
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

    @property
    def moved(self) -> int:
        """Bytes that left the source."""
        return self.redirected + self.pumped + self.passed + self.dropped + self.lost


@dataclass(frozen=True, slots=True)
class PairStats:
    """A pair. Addresses are (host, port); `age` is in seconds.

    client and upstream are the far ends; *_local our own addresses towards them.
    """

    number: int
    client: tuple[str, int]
    client_local: tuple[str, int]
    upstream: tuple[str, int]
    upstream_local: tuple[str, int]
    age: float
    outcome: str | None
    forward: DirectionStats
    backward: DirectionStats


def direction_stats(direction: Direction) -> DirectionStats:
    """The counters of one direction: the kernel's and the pump's."""
    shared, pump = direction.shared, direction.pump
    return DirectionStats(
        state=direction.state.value,
        why=direction.why,
        redirected=shared.redirected_bytes if shared is not None else 0,
        redirected_skbs=shared.redirected_skbs if shared is not None else 0,
        pumped=pump.moved,
        passed=shared.passed_bytes if shared is not None else 0,
        passed_skbs=shared.passed_skbs if shared is not None else 0,
        dropped=pump.discarded + (shared.dropped_bytes if shared is not None else 0),
        dropped_skbs=shared.dropped_skbs if shared is not None else 0,
        lost=shared.lost_bytes if shared is not None else 0,
        holds=shared.holds if shared is not None else 0,
        largest_backlog=shared.backlog if shared is not None else 0,
    )


def pair_stats(pair: Pair, outcome: str | None) -> PairStats:
    """The pair as it is now."""
    (client, client_local), (upstream, upstream_local) = pair.names
    return PairStats(
        number=pair.number,
        client=client[:2],
        client_local=client_local[:2],
        upstream=upstream[:2],
        upstream_local=upstream_local[:2],
        age=time.time() - pair.born,
        outcome=outcome,
        forward=direction_stats(pair.forward),
        backward=direction_stats(pair.backward),
    )

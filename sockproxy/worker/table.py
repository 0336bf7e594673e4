"""The table of connections: what each has done, in memory that every thread may read.

The loop's thread alone writes it, where it moves the bytes. Who reads (`status`, `connections`)
asks nobody: a row is read as it stands, and the lock keeps only its last moment apart, when
counters that lay in the kernel's maps are copied and the slot there becomes another's.
"""

from __future__ import annotations

import enum
import threading
import time
from typing import Any

from sockproxy.worker.stats import DirectionStats, PairStats, Reading, Totals

__all__ = ["DirectionRow", "Row", "State", "Table"]

Place = tuple[str, int]


class State(enum.Enum):
    """Who moves the bytes of a direction: see sockproxy.worker.direction."""

    REDIRECT = "redirect"
    DRAIN = "drain"
    PUMP = "pump"
    FINISHED = "finished"


class DirectionRow:
    """One direction, written where its bytes are moved."""

    __slots__ = ("_told", "discarded", "pumped", "shared", "state")

    def __init__(self) -> None:
        self.state = State.PUMP
        self._told = (State.PUMP, "no conversation so far")
        self.pumped = 0
        """Bytes that user space wrote to the target."""
        self.discarded = 0
        """Bytes that user space threw away on request."""
        self.shared: Any = None
        """The struct direction in the kernel's map, of a direction whose sockets are enrolled."""

    def become(self, state: State, why: str | None = None) -> None:
        """Be moved by another. why: not by the kernel; None where the reason stays as it was."""
        self.state = state
        # One value, so that who reads it has two that belong together.
        self._told = (state, self._told[1] if why is None else why)

    def stats(self) -> DirectionStats:
        """All of it: user space's counters and the kernel's."""
        state, why = self._told
        kernel = self.shared
        if kernel is None:
            return DirectionStats(
                state.value, why, 0, 0, self.pumped, 0, 0, self.discarded, 0, 0, 0, 0
            )
        return DirectionStats(
            state=state.value,
            why=why,
            redirected=kernel.redirected_bytes,
            redirected_skbs=kernel.redirected_skbs,
            pumped=self.pumped,
            passed=kernel.passed_bytes,
            passed_skbs=kernel.passed_skbs,
            dropped=self.discarded + kernel.dropped_bytes,
            dropped_skbs=kernel.dropped_skbs,
            lost=kernel.lost_bytes,
            holds=kernel.holds,
            largest_backlog=kernel.backlog,
        )


class Row:
    """One connection. client, upstream: each the far end's address and our own, (host, port)."""

    __slots__ = ("_born", "_client", "_last", "_upstream", "backward", "forward", "number")

    def __init__(
        self, number: int, client: tuple[Place, Place], upstream: tuple[Place, Place]
    ) -> None:
        self.number = number
        self._client, self._upstream = client, upstream
        self._born = time.time()
        self._last: PairStats | None = None
        self.forward, self.backward = DirectionRow(), DirectionRow()

    def stats(self, outcome: str | None = None) -> PairStats:
        """As it is now, or as it was at its end."""
        if self._last is not None:
            return self._last
        return PairStats(
            self.number,
            *self._client,
            *self._upstream,
            time.time() - self._born,
            outcome,
            self.forward.stats(),
            self.backward.stats(),
        )

    def end(self, outcome: str) -> PairStats:
        """The last counters, after which the kernel's are not looked at."""
        self._last = self.stats(outcome)
        self.forward.shared = self.backward.shared = None
        return self._last


class Table:
    """The rows of the connections that live, and the sums of those that have ended."""

    def __init__(self) -> None:
        self._rows: dict[int, Row] = {}
        self._ended = Totals()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Connections that live."""
        return len(self._rows)

    def __contains__(self, number: int) -> bool:
        """Whether the connection of this number lives."""
        return number in self._rows

    def add(self, row: Row) -> None:
        """A connection has begun. By the loop's thread, as all that writes."""
        self._rows[row.number] = row

    def end(self, row: Row, outcome: str) -> PairStats:
        """A connection ends now, before it gives back what it has in the kernel."""
        with self._lock:
            stats = row.end(outcome)
            if self._rows.pop(row.number, None) is not None:
                self._ended = _with(self._ended, stats)
        return stats

    def stats(self, number: int) -> PairStats | None:
        """One connection that lives. By the loop's thread."""
        row = self._rows.get(number)
        return None if row is None else row.stats()

    def read(self) -> Reading:
        """All of it. By any thread; the loop goes on meanwhile."""
        with self._lock:
            ended, rows = self._ended, list(self._rows.values())
        live = []
        for row in rows:
            with self._lock:
                live.append(row.stats())
        return Reading(ended, tuple(live))

    def abandon(self) -> None:
        """In a forked child, where a thread that is not there may hold the lock."""
        self._lock = threading.Lock()


def _with(totals: Totals, stats: PairStats) -> Totals:
    ways = (stats.forward, stats.backward)
    return Totals(
        totals.pairs + 1,
        totals.reset + (stats.outcome != "finished"),
        totals.redirected + sum(way.redirected for way in ways),
        totals.pumped + sum(way.pumped for way in ways),
        totals.dropped + sum(way.dropped for way in ways),
        totals.holds + sum(way.holds for way in ways),
    )

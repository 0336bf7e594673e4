"""The table of connections: what each has done, in memory that every thread may read.

The loop's thread alone writes it, where it moves the bytes. Who reads (`status`, `connections`)
asks nobody: a row is read as it stands, and the lock keeps only its last moment apart, when
counters that lay in the kernel's maps are copied and the slot there becomes another's.
"""

from __future__ import annotations

import enum
import threading
import time
from typing import NamedTuple

from sockproxy.bpf.abi import SharedDirection
from sockproxy.bpf.seam import Past
from sockproxy.worker.joint import Joint
from sockproxy.worker.stats import DirectionStats, PairStats, Reading, Totals

__all__ = ["AT_END", "DirectionRow", "Phase", "Row", "State", "Table"]

Place = tuple[str, int]


class State(enum.Enum):
    """Who moves the bytes of a direction: see sockproxy.worker.direction."""

    REDIRECT = "redirect"
    DRAIN = "drain"
    PUMP = "pump"
    FINISHED = "finished"


class Phase(NamedTuple):
    """Who moves the bytes of a direction, and why not the kernel; "" where it does.

    One value, replaced as a whole, so that who reads it in another thread has two that fit.
    """

    state: State
    why: str


AT_FIRST = Phase(State.PUMP, "no conversation so far")
AT_END = Phase(State.FINISHED, "end of stream")


class DirectionRow:
    """One direction, written where its bytes are moved."""

    __slots__ = ("discarded", "phase", "pumped", "shared")

    def __init__(self) -> None:
        self.phase = AT_FIRST
        self.pumped = 0
        """Bytes that user space wrote to the target."""
        self.discarded = 0
        """Bytes that user space threw away on request."""
        self.shared: SharedDirection | None = None
        """The struct direction in the kernel's map, of a direction whose sockets are enrolled."""

    def stats(self, past: int, past_messages: int) -> DirectionStats:
        """All of it: user space's counters, the kernel's, and what went past us."""
        state, why = self.phase
        kernel = self.shared
        if kernel is None:
            return DirectionStats(
                *(state.value, why, 0, 0, self.pumped, 0, 0, self.discarded, 0, 0, 0, 0),
                short_circuited=past,
                short_circuited_messages=past_messages,
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
            short_circuited=past,
            short_circuited_messages=past_messages,
        )


class Row:
    """One connection. client, upstream: each the far end's address and our own, (host, port)."""

    __slots__ = (
        "_born",
        "_client",
        "_joint",
        "_last",
        "_upstream",
        "backward",
        "forward",
        "number",
    )

    def __init__(
        self,
        number: int,
        client: tuple[Place, Place],
        upstream: tuple[Place, Place],
        joint: Joint | None = None,
    ) -> None:
        self.number = number
        self._joint = joint
        self._client, self._upstream = client, upstream
        self._born = time.time()
        self._last: PairStats | None = None
        self.forward, self.backward = DirectionRow(), DirectionRow()

    def stats(self, outcome: str | None = None) -> PairStats:
        """As it is now, or as it was at its end."""
        if self._last is not None:
            return self._last
        past = self._joint.read() if self._joint else Past()
        return PairStats(
            self.number,
            *self._client,
            *self._upstream,
            time.time() - self._born,
            outcome,
            self.forward.stats(past.forward_bytes, past.forward_messages),
            self.backward.stats(past.backward_bytes, past.backward_messages),
            self._joint.why_not if self._joint else "",
        )

    def end(self, outcome: str) -> PairStats:
        """The last counters, after which the kernel's are not looked at."""
        last = self._last = self.stats(outcome)
        self.forward.shared = self.backward.shared = None
        return last


class Table:
    """The rows of the connections that live, and the sums of those that have ended."""

    def __init__(self) -> None:
        self._rows: dict[int, Row] = {}
        self._pairs = self._reset = 0  # these and the next are of those that have ended
        self._redirected = self._pumped = self._dropped = self._holds = self._past = 0
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
                self._count(stats)
        return stats

    def _count(self, stats: PairStats) -> None:
        forward, backward = stats.forward, stats.backward
        self._pairs += 1
        self._reset += stats.outcome != "finished"
        self._redirected += forward.redirected + backward.redirected
        self._pumped += forward.pumped + backward.pumped
        self._dropped += forward.dropped + backward.dropped
        self._holds += forward.holds + backward.holds
        self._past += forward.short_circuited + backward.short_circuited

    def stats(self, number: int) -> PairStats | None:
        """One connection that lives. By the loop's thread."""
        row = self._rows.get(number)
        return None if row is None else row.stats()

    def read(self) -> Reading:
        """All of it. By any thread; the loop goes on meanwhile."""
        with self._lock:
            rows = list(self._rows.values())
            ended = Totals(
                self._pairs,
                self._reset,
                self._redirected,
                self._pumped,
                self._dropped,
                self._holds,
                self._past,
            )
        live = []
        for row in rows:
            with self._lock:
                live.append(row.stats())
        return Reading(ended, tuple(live))

    def abandon(self) -> None:
        """In a forked child, where a thread that is not there may hold the lock."""
        self._lock = threading.Lock()

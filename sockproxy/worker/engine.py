"""The worker in Python: all connections of one splicer, on one loop and one kernel."""

from __future__ import annotations

import itertools
import select
import socket
import time
from collections.abc import Sequence

from sockproxy.bpf.seam import ShortCircuit, SpliceKernel
from sockproxy.net.address import peer_address
from sockproxy.worker.door import Ended, Ends, Event, Limits, Side, Tell
from sockproxy.worker.joint import Joint
from sockproxy.worker.loop import EventLoop
from sockproxy.worker.pair import Pair
from sockproxy.worker.pump import Pipes
from sockproxy.worker.stats import PairStats, Reading
from sockproxy.worker.table import Row, Table
from sockproxy.worker.urgent import UrgentSignals

__all__ = ["Engine"]

SWEEP = 0.5  # seconds between looks at idle pairs


class Engine:
    """Stands behind sockproxy.worker.door.Worker, which says what its methods do.

    Bytes are moved on the loop's thread. tell: receives the events.
    """

    def __init__(self, limits: Limits, tell: Tell) -> None:
        self.kernel: SpliceKernel | None = None
        self.why_not = "relay asked for"
        self.circuits: Sequence[ShortCircuit] = ()
        self.why_no_circuits = "not asked for"
        self.loop = EventLoop()
        self.table = Table()
        self.pairs: dict[int, Pair] = {}
        self._limits = limits
        self._pipes = Pipes(limits.most_pipes)
        self._numbers = itertools.count(1)
        self._tell = tell
        self._events: list[Event] = []
        self._activity: dict[int, tuple[int, float]] = {}
        self._by_slot: dict[int, Pair] = {}
        self._urgent = UrgentSignals(self.loop, self._on_urgent)
        if limits.idle_timeout is not None:
            self.loop.later(SWEEP, self._sweep)

    def use(self, kernel: SpliceKernel) -> None:
        self.kernel, self.why_not = kernel, ""
        self.loop.watch(kernel.hold_events(), select.EPOLLIN, self._on_holds)

    def add(
        self,
        client: socket.socket,
        upstream: socket.socket,
        already_read: tuple[bytes, bytes] = (b"", b""),
        why_not_past: str = "",
        ends: tuple[Ends, Ends] | None = None,
    ) -> int:
        number = next(self._numbers)
        why_none = why_not_past or ("" if self.circuits else self.why_no_circuits)
        joint = Joint(lambda: self.circuits, why_none, never=bool(why_not_past))
        row = Row(number, *(ends or (_ends(client), _ends(upstream))), joint)
        pair = Pair(
            row,
            (client, upstream),
            loop=self.loop,
            kernel=self.kernel,
            pipes=self._pipes,
            budget=self._limits.budget,
            eager=self._limits.eager,
            why_not=self.why_not,
            on_enrol=self._on_enrol,
            ends=self.table.end,
            on_end=self._on_end,
            tell=self._note,
            urgent=self._urgent,
            joint=joint,
            already_read=already_read,
        )
        pair.watch()
        self.pairs[number] = pair
        self.table.add(row)
        pair.begin()
        return number

    def drop(self, number: int, side: Side) -> None:
        if (pair := self.pairs.get(number)) is not None:
            pair.drop(side)

    def abort(self, number: int, why: str) -> None:
        if (pair := self.pairs.get(number)) is not None:
            pair.abort(why)

    def stats(self, number: int) -> PairStats | None:
        return self.table.stats(number)

    @property
    def live(self) -> int:
        return len(self.pairs)

    def read(self) -> Reading:
        return self.table.read()

    def _on_enrol(self, pair: Pair) -> None:
        self._by_slot.update(dict.fromkeys(pair.slots, pair))

    def _on_end(self, pair: Pair, stats: PairStats) -> None:
        del self.pairs[stats.number]
        self._activity.pop(stats.number, None)
        for slot in pair.slots:
            self._by_slot.pop(slot, None)
        self._note(Ended(stats))

    def _note(self, event: Event) -> None:
        """Have the loop tell the event, and not now: the owner may be in the midst of the call that
        has led to it."""
        if not self._events:
            self.loop.soon(self._tell_events)
        self._events.append(event)

    def _tell_events(self) -> None:
        events, self._events = self._events, []
        for event in events:
            self._tell(event)

    def _on_holds(self, _events: int) -> None:
        assert self.kernel is not None
        self.kernel.take_holds(self._on_hold)

    def _on_hold(self, slot: int) -> None:
        pair = self._by_slot.get(slot)
        if pair is not None and pair.outcome is None:
            pair.on_hold(slot)

    def _on_urgent(self) -> None:
        for slot, pair in list(self._by_slot.items()):
            if pair.outcome is None:
                pair.look_for_urgent(slot)

    def _sweep(self) -> None:
        """Abort the pairs that have been idle for too long."""
        timeout = self._limits.idle_timeout
        assert timeout is not None
        now = time.monotonic()
        for number, pair in list(self.pairs.items()):
            moved = pair.moved()
            before, since = self._activity.get(number, (-1, now))
            if moved != before:
                self._activity[number] = (moved, now)
            elif now - since >= timeout:
                pair.abort(f"idle for {timeout:g} s")
        self.loop.later(SWEEP, self._sweep)

    def abandon(self) -> None:
        # Closing is of the child's descriptors alone; epoll is not told, as it is the parent's.
        for pair in list(self.pairs.values()):
            pair.abandon()
        self.pairs.clear()
        self.table.abandon()
        self._pipes.close()
        if self.kernel is not None:
            self.kernel.close()
        self._urgent.close()
        self.loop.abandon()

    def close(self) -> None:
        for pair in list(self.pairs.values()):
            pair.abort("closed")
        self._tell_events()
        self._pipes.close()
        if self.kernel is not None:
            self.loop.unwatch(self.kernel.hold_events())
            self.kernel.close()
        self._urgent.close()
        self.loop.close()


def _ends(sock: socket.socket) -> Ends:
    return Ends(peer_address(sock), sock.getsockname()[:2])

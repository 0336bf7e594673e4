"""All pairs of one splicer, on one loop and one kernel."""

from __future__ import annotations

import itertools
import select
import socket
import time
from collections.abc import Callable

from sockproxy.bpf.seam import SpliceKernel
from sockproxy.worker.loop import EventLoop
from sockproxy.worker.pair import Pair
from sockproxy.worker.pump import Pipes
from sockproxy.worker.urgent import UrgentSignals

__all__ = ["MIB", "Engine", "Totals"]

MIB = 1 << 20
SWEEP = 0.5  # seconds between looks at idle pairs


class Totals:
    """What the ended pairs did, in bytes and pairs."""

    def __init__(self) -> None:
        self.pairs = 0
        self.reset = 0
        self.redirected = self.pumped = self.dropped = self.holds = 0

    def add(self, pair: Pair) -> None:
        """Count one ended pair."""
        self.pairs += 1
        self.reset += pair.outcome != "finished"
        stats = pair.stats()
        for direction in (stats.forward, stats.backward):
            self.redirected += direction.redirected
            self.pumped += direction.pumped
            self.dropped += direction.dropped
            self.holds += direction.holds


class Engine:
    """Pairs and what they share. All but `loop.call` belongs to the loop's thread.

    kernel: None to relay everything in user space, until use(); `why_not` then says why.
    budget: bytes per direction.
    eager: redirect whatever comes, not conversations alone.
    idle_timeout: seconds without a byte either way after which a pair is aborted.
    most_pipes: at once; None for as many as the system gives.
    """

    def __init__(
        self,
        kernel: SpliceKernel | None,
        *,
        why_not: str = "relay asked for",
        budget: int = MIB,
        eager: bool = False,
        idle_timeout: float | None = None,
        most_pipes: int | None = None,
    ) -> None:
        self.kernel, self.why_not = kernel, why_not
        self.loop = EventLoop()
        self.pairs: dict[int, Pair] = {}
        self.totals = Totals()
        self.budget = budget
        self._eager = eager
        self._pipes = Pipes(most_pipes)
        self._numbers = itertools.count(1)
        self._idle_timeout = idle_timeout
        self._activity: dict[int, tuple[int, float]] = {}
        self._by_slot: dict[int, Pair] = {}
        self._urgent = UrgentSignals(self.loop, self._on_urgent)
        if kernel is not None:
            self.use(kernel)
        if idle_timeout is not None:
            self.loop.later(SWEEP, self._sweep)

    def use(self, kernel: SpliceKernel) -> None:
        """Have a kernel for the pairs that are added from now on; those before it stay as they
        are. It is closed with the engine."""
        self.kernel, self.why_not = kernel, ""
        self.loop.watch(kernel.hold_events(), select.EPOLLIN, self._on_holds)

    def add(
        self,
        client: socket.socket,
        upstream: socket.socket,
        on_end: Callable[[Pair], None],
        already_read: tuple[bytes, bytes] = (b"", b""),
    ) -> Pair:
        """Pair two connected sockets, which now belong to the pair.

        already_read: bytes that were read from each of them; they go first.

        One that was reset is let speak to its end. Raises OSError when one was never connected, or
        cannot be watched; both stay open then.
        """
        pair = Pair(
            next(self._numbers),
            (client, upstream),
            loop=self.loop,
            kernel=self.kernel,
            pipes=self._pipes,
            budget=self.budget,
            eager=self._eager,
            why_not=self.why_not,
            on_enrol=self._on_enrol,
            on_end=lambda ended: self._on_end(ended, on_end),
            urgent=self._urgent,
            already_read=already_read,
        )
        pair.watch()
        self.pairs[pair.number] = pair
        pair.begin()
        return pair

    def _on_enrol(self, pair: Pair) -> None:
        self._by_slot.update(dict.fromkeys(pair.slots, pair))

    def _on_end(self, pair: Pair, on_end: Callable[[Pair], None]) -> None:
        self.pairs.pop(pair.number, None)
        self._activity.pop(pair.number, None)
        for slot in pair.slots:
            self._by_slot.pop(slot, None)
        self.totals.add(pair)
        on_end(pair)

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
        assert self._idle_timeout is not None
        now = time.monotonic()
        for number, pair in list(self.pairs.items()):
            moved = pair.moved()
            before, since = self._activity.get(number, (-1, now))
            if moved != before:
                self._activity[number] = (moved, now)
            elif now - since >= self._idle_timeout:
                pair.abort(f"idle for {self._idle_timeout:g} s")
        self.loop.later(SWEEP, self._sweep)

    def abandon(self) -> None:
        """In a forked child: let go of everything without a word to the parent's connections.

        Closing is of the child's descriptors alone; epoll is not told, as it is the parent's.
        """
        for pair in list(self.pairs.values()):
            pair.abandon()
        self.pairs.clear()
        self._pipes.close()
        if self.kernel is not None:
            self.kernel.close()
        self._urgent.close()
        self.loop.abandon()

    def close(self) -> None:
        """Abort what still runs and release everything."""
        for pair in list(self.pairs.values()):
            pair.abort("closed")
        self._pipes.close()
        if self.kernel is not None:
            self.loop.unwatch(self.kernel.hold_events())
            self.kernel.close()
        self._urgent.close()
        self.loop.close()

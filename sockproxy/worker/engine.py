"""The worker: all connections of one splicer, on one loop and one kernel. Its bytes are moved by
C: this is what Python sees of ``native/``."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

from sockproxy.bpf.seam import KernelShare, ShortCircuit, SpliceKernel
from sockproxy.native import check, ffi, load_native
from sockproxy.worker.door import Changed, Ended, Event, Failed, Limits, Side, Tell
from sockproxy.worker.loop import EventLoop
from sockproxy.worker.stats import PairStats, Reading, Sums
from sockproxy.worker.tally import Tally, read_tally
from sockproxy.worker.told import STATES, pair_stats, text, totals

__all__ = ["Engine"]

SIDES: tuple[Side, Side] = ("forward", "backward")
MARGIN = 64  # connections that may begin between two readings


class Engine:
    """Stands behind sockproxy.worker.door.Worker, which says what its methods do.

    tell: receives the events of the kinds `wanted`.
    mate: one that does not run yet, whose limits on clients and pipes it shares.
    """

    def __init__(
        self,
        limits: Limits,
        tell: Tell,
        wanted: Collection[type[Event]] = (Changed, Failed, Ended),
        mate: Engine | None = None,
    ) -> None:
        self.kernel: SpliceKernel | None = None
        self._share: KernelShare | None = None
        self._why_not = "relay asked for"
        self._circuits: Sequence[ShortCircuit] = ()
        self._why_no_circuits = "not asked for"
        self.loop: EventLoop = EventLoop(mate.loop if mate else None)
        self._lib, self._native = load_native(), self.loop.native
        self._tell = tell
        lib = self._lib
        idle = -1 if limits.idle_timeout is None else int(limits.idle_timeout * 1e9)
        pipes = -1 if limits.most_pipes is None else limits.most_pipes
        try:
            check(lib.worker_limit(self._native, limits.budget, limits.eager, idle, pipes))
        except OSError:
            self.loop.close()
            raise
        self.want(wanted)
        kinds: dict[int, Callable[[Any], Event]] = {
            lib.NEWS_CHANGED: _changed,
            lib.NEWS_FAILED: _failed,
            lib.NEWS_ENDED: _ended,
        }
        for kind, read in kinds.items():
            self.loop.receive(kind, partial(self._on_news, read))

    def _on_news(self, read: Callable[[Any], Event], news: Any) -> None:
        self._tell(read(news))

    def want(self, wanted: Collection[type[Event]]) -> None:
        lib = self._lib
        bits: dict[type[Event], int] = {
            Changed: lib.INTEREST_CHANGED,
            Failed: lib.INTEREST_FAILED,
            Ended: lib.INTEREST_ENDED,
        }
        lib.worker_tell(self._native, sum(bits[each] for each in set(wanted)))

    @property
    def why_not(self) -> str:
        return self._why_not

    @why_not.setter
    def why_not(self, why: str) -> None:
        self._why_not = why
        self._lib.worker_tell_why_not(self._native, why.encode())

    def use(self, kernel: SpliceKernel) -> None:
        self.use_share(kernel)
        self.kernel = kernel

    def use_share(self, share: KernelShare) -> None:
        """As use(), with what is closed before the kernel itself."""
        check(self._lib.worker_use(self._native, share.native))
        self._share, self._why_not = share, ""

    @property
    def circuits(self) -> Sequence[ShortCircuit]:
        return self._circuits

    @property
    def why_no_circuits(self) -> str:
        return self._why_no_circuits

    def set_circuits(self, circuits: Sequence[ShortCircuit], why_none: str = "") -> None:
        natives = ffi.new("struct circuit *[]", [each.native for each in circuits])
        check(
            self._lib.worker_set_circuits(self._native, natives, len(circuits), why_none.encode())
        )
        self._circuits, self._why_no_circuits = circuits, why_none

    def add(
        self,
        client: socket.socket,
        upstream: socket.socket,
        already_read: tuple[bytes, bytes] = (b"", b""),
        why_not_past: str = "",
    ) -> int:
        ahead = [ffi.from_buffer(each) for each in already_read]
        why = ffi.new("char[]", why_not_past.encode()) if why_not_past else ffi.NULL
        added = ffi.new(
            "struct addition *",
            (client.fileno(), upstream.fileno(), *ahead, *map(len, already_read), why),
        )
        number = ffi.new("uint64_t *")
        check(self._lib.worker_add(self._native, added, number))
        client.detach()
        upstream.detach()
        return int(number[0])

    def drop(self, number: int, side: Side) -> None:
        self._lib.worker_drop(self._native, number, SIDES.index(side))

    def abort(self, number: int, why: str) -> None:
        self._lib.worker_abort(self._native, number, why.encode())

    def stats(self, number: int) -> PairStats | None:
        found = ffi.new("struct pair_stats *")
        failed = self._lib.worker_stats(self._native, number, found)
        return None if failed else pair_stats(found)

    @property
    def live(self) -> int:
        return int(self._lib.worker_live(self._native)) if self.loop.native else 0

    def read(self) -> Reading:
        ended = ffi.new("struct totals *")
        with self.loop.kept_open():
            count = room = 0
            while count >= room:
                room = count + MARGIN
                live = ffi.new("struct pair_stats[]", room)
                count = self._lib.worker_read(self._native, ended, live, room)
            return Reading(totals(ended), tuple(map(pair_stats, live[0:count])))

    def sums(self) -> Sums:
        ended, live = ffi.new("struct totals *"), ffi.new("struct totals *")
        with self.loop.kept_open():
            self._lib.worker_sum(self._native, ended, live)
        return Sums(totals(ended), totals(live))

    def tally(self) -> Tally:
        """What connections have in common, from any thread."""
        with self.loop.kept_open():
            return read_tally(self._native)

    def before_fork(self) -> None:
        self.loop.before_fork()

    def after_fork(self) -> None:
        self.loop.after_fork()

    def abandon(self) -> None:
        if self._share is not None:
            self._share.close()
        self.loop.abandon()

    def close(self) -> None:
        self._lib.worker_end_all(self._native)
        self.loop.tell_rest()
        if self._share is not None:
            self._share.close()
        self.loop.close()


def _changed(news: Any) -> Changed:
    return Changed(news.number, SIDES[news.backward], STATES[news.state], text(news.why))


def _failed(news: Any) -> Failed:
    return Failed(news.number, ("client", "upstream")[news.backward], text(news.why))


def _ended(news: Any) -> Ended:
    return Ended(pair_stats(news.stats))

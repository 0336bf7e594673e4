"""The workers of one proxy, each in a thread of its own, behind the door of one worker."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Collection, Sequence
from functools import partial
from operator import attrgetter

from sockproxy.bpf.seam import ShortCircuit, SpliceKernel
from sockproxy.errors import SockproxyError
from sockproxy.worker.door import Event, Limits, Tell
from sockproxy.worker.engine import Engine
from sockproxy.worker.loop import EventLoop
from sockproxy.worker.stats import Reading, Sums, sum_of
from sockproxy.worker.tally import Tally, sum_of_tallies

__all__ = ["Workers"]

log = logging.getLogger("sockproxy.proxy")


class Workers:
    """The first one's thread is the proxy's, and does what else there is to do; events are told
    there. Clients are shared among all of them (native/arrivals.h), and so are the limits.

    Methods are as of sockproxy.worker.door.Worker. first: what the proxy's thread runs.
    """

    def __init__(
        self, count: int, limits: Limits, tell: Tell, wanted: Collection[type[Event]]
    ) -> None:
        """Raises OSError."""
        self.first = Engine(limits, tell, wanted)
        self._others: list[Engine] = []
        self._threads: list[threading.Thread] = []
        self._began = threading.Event()
        self._failure: BaseException | None = None

        def tell_there(event: Event) -> None:
            self.loop.call(partial(tell, event))

        try:
            for _ in range(count - 1):
                self._others.append(Engine(limits, tell_there, wanted, self.first))
        except OSError:
            self.close()
            raise

    @property
    def _all(self) -> list[Engine]:
        return [self.first, *self._others]

    # -- their threads -----------------------------------------------------------------------

    @property
    def loop(self) -> EventLoop:
        """Of the first one."""
        return self.first.loop

    @property
    def other_loops(self) -> Sequence[EventLoop]:
        """Those that run in threads of their own."""
        return [each.loop for each in self._others]

    def start(self) -> None:
        """Have threads for the others, which wait for run(). Raises SockproxyError where there may
        be no more of them."""
        for number, each in enumerate(self._others, 2):
            thread = threading.Thread(
                target=self._run, args=(each.loop,), name=f"sockproxy-worker-{number}"
            )
            try:
                thread.start()
            except RuntimeError:
                hint = "choose fewer --workers, or raise 'ulimit -u'"
                raise SockproxyError("start a thread", errno=errno.EAGAIN, hint=hint) from None
            self._threads.append(thread)

    def _run(self, loop: EventLoop) -> None:
        self._began.wait()
        try:
            loop.run()
        except BaseException as error:
            self._failure = error
            self.loop.stop()  # its clients would wait for ever

    def run(self) -> None:
        """Serve, in this thread as well, until the loop is stopped."""
        self._begin()
        self.loop.run()
        if self._failure is not None:
            raise self._failure

    def _begin(self) -> None:
        self._began.set()
        for each in self._others:
            runs = threading.Event()
            each.loop.call(runs.set)
            runs.wait()  # do() is for loops that run

    def halt(self) -> None:
        """End the threads of the others. Twice is allowed."""
        for each in self._others[: len(self._threads)]:
            each.loop.stop()
        self._began.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    # -- what accelerates ----------------------------------------------------------------------

    @property
    def kernel(self) -> SpliceKernel | None:
        return self.first.kernel

    @property
    def why_not(self) -> str:
        return self.first.why_not

    @why_not.setter
    def why_not(self, why: str) -> None:
        self.first.why_not = why
        for each in self._others:
            each.loop.do(partial(setattr, each, "why_not", why))

    def use(self, kernel: SpliceKernel) -> None:
        self.first.use(kernel)
        for each in self._others:
            each.loop.do(partial(self._use_share, each, kernel))

    def _use_share(self, engine: Engine, kernel: SpliceKernel) -> None:
        try:
            share = kernel.share()
            try:
                engine.use_share(share)
            except OSError as error:
                share.close()
                raise SockproxyError("use the programs", errno=error.errno) from None
        except SockproxyError as error:  # one that relays is exact as well
            engine.why_not = str(error)
            log.warning(f"one of {1 + len(self._others)} workers relays in user space: {error}")

    @property
    def circuits(self) -> Sequence[ShortCircuit]:
        return self.first.circuits

    @property
    def why_no_circuits(self) -> str:
        return self.first.why_no_circuits

    def set_circuits(self, circuits: Sequence[ShortCircuit], why_none: str = "") -> None:
        if (circuits, why_none) == (self.circuits, self.why_no_circuits):
            return  # nobody is woken each time that somebody looks
        for each in (*self._others, self.first):
            each.loop.do(partial(each.set_circuits, circuits, why_none))

    # -- connections ---------------------------------------------------------------------------

    def want(self, wanted: Collection[type[Event]]) -> None:
        for each in self._all:
            each.loop.do(partial(each.want, wanted))

    @property
    def live(self) -> int:
        return self.first.live + sum(each.live for each in self._others)

    def read(self) -> Reading:
        each_of = [each.read() for each in self._all]
        live = [pair for each in each_of for pair in each.live]
        live.sort(key=attrgetter("number"))
        return Reading(sum_of(each.ended for each in each_of), tuple(live))

    def sums_of_each(self) -> list[Sums]:
        """The sums of each worker, from any thread."""
        return [each.sums() for each in self._all]

    def tally(self) -> Tally:
        """What connections of all workers have in common, from any thread."""
        return sum_of_tallies(each.tally() for each in self._all)

    def close(self) -> None:
        self.halt()
        for each in (*self._others, self.first):
            each.close()

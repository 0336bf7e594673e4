"""Two sockets whose bytes go from one to the other, from pairing to close."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Callable
from functools import partial

from sockproxy.bpf.abi import Action
from sockproxy.bpf.seam import Inspection, SpliceKernel
from sockproxy.errors import SockproxyError
from sockproxy.net.address import peer_address
from sockproxy.net.tcp import TCP_CLOSE, fence, take_error
from sockproxy.worker.direction import Direction, State
from sockproxy.worker.end import End
from sockproxy.worker.farewell import Farewell
from sockproxy.worker.loop import EventLoop, Timer
from sockproxy.worker.pump import Pipes, Pump
from sockproxy.worker.stats import PairStats, pair_stats
from sockproxy.worker.traffic import Traffic
from sockproxy.worker.urgent import UrgentSignals

__all__ = ["Pair"]

# Edges: a direction in REDIRECT causes hardly any, because its source wakes the strparser
# and not us. Whoever takes a direction back looks at both ends once.
EVENTS = select.EPOLLET | select.EPOLLIN | select.EPOLLPRI | select.EPOLLOUT | select.EPOLLRDHUP
ENDED = select.EPOLLRDHUP | select.EPOLLHUP


class Pair:
    """A spliced or relayed pair. All methods belong to the loop's thread.

    loop, kernel, pipes: shared by the pairs of one splicer; kernel None means relay.
    budget: bytes per direction that may lie between the two sockets.
    eager: redirect whatever comes.
    already_read: bytes that were read from each of the sockets; they go first.
    on_enrol: called when the two sockets have slots.
    on_end: called once, after the sockets have been closed.
    urgent: is to tell when an urgent byte comes for a socket that the kernel reads.
    """

    def __init__(
        self,
        number: int,
        sockets: tuple[socket.socket, socket.socket],
        *,
        loop: EventLoop,
        kernel: SpliceKernel | None,
        pipes: Pipes,
        budget: int,
        eager: bool,
        why_not: str,
        on_enrol: Callable[[Pair], None],
        on_end: Callable[[Pair], None],
        urgent: UrgentSignals,
        already_read: tuple[bytes, bytes] = (b"", b""),
    ) -> None:
        self.number = number
        self._loop = loop
        self.born = time.time()
        self.outcome: str | None = None
        """How it ended: "finished", or why it was reset. None while it lives."""
        self._kernel = kernel
        self._why_not = why_not
        self._on_enrol, self._on_end, self._urgent = on_enrol, on_end, urgent
        self.a, self.b = End(sockets[0]), End(sockets[1])
        self.names = tuple((peer_address(s), s.getsockname()[:2]) for s in sockets)
        self.forward, self.backward = (
            Direction(
                self, source, target,
                Pump(pipes, source.sock, target.sock, budget, ahead), Traffic(eager=eager), budget,
            )
            for source, target, ahead in (
                (self.a, self.b, already_read[0]), (self.b, self.a, already_read[1])
            )
        )  # fmt: skip
        self.forward.opposite, self.backward.opposite = self.backward, self.forward
        self.slots: tuple[int, ...] = ()
        self._farewell: Farewell | None = None
        """Of an end that failed to the other."""
        self._last_stats: PairStats | None = None

    def watch(self) -> None:
        """Have the loop watch both sockets. Raises OSError; then it watches neither."""
        try:
            for end, out, into in self._roles():
                on_events = partial(self._on_events, end, out, into)
                self._loop.watch(end.fd, EVENTS, partial(self._guard, on_events))
        except OSError:
            self._unwatch()
            raise

    def _unwatch(self) -> None:
        for end in (self.a, self.b):
            self._loop.unwatch(end.fd)

    def begin(self) -> None:
        """Start both directions."""
        for direction in (self.forward, self.backward):
            if self._kernel is None:
                direction.refuse(self._why_not)
            if self.outcome is None:
                self._guard(direction.begin)

    def _roles(self) -> tuple[tuple[End, Direction, Direction], ...]:
        """Each end with the direction out of it and the one into it."""
        return ((self.a, self.forward, self.backward), (self.b, self.backward, self.forward))

    # -- what a direction asks of its pair -----------------------------------------------

    def enrol(self) -> SpliceKernel | None:
        """The kernel, in which both sockets have slots; or none, now and ever after."""
        if self._kernel is not None and not self.slots:
            for end in (self.a, self.b):
                end.enrol(self._kernel)
            if self.a.slot is not None and self.b.slot is not None:
                self.slots = (self.a.slot, self.b.slot)
                self._on_enrol(self)
            else:
                self._why_not = self.a.why_not or self.b.why_not or "not enrolled"
                self._kernel = None
                self.a.leave()
                self.b.leave()
                for direction in (self.forward, self.backward):
                    direction.refuse(self._why_not)
        return self._kernel

    def kernel_in_use(self) -> SpliceKernel:
        """The kernel of a pair with an enrolled direction."""
        assert self._kernel is not None
        return self._kernel

    def inspect(self, end: End) -> Inspection | None:
        """The state of an enrolled socket; None when it was reset."""
        return None if end.slot is None else self.kernel_in_use().inspect(end.slot)

    def stop(self, end: End) -> None:
        """Take the bytes of `end` back from the kernel (rule 1 of Direction)."""
        if end.slot is not None:
            self.kernel_in_use().stop(end.slot)

    def renew(self, end: End) -> tuple[bool, str]:
        """Give `end` a new psock: whether it has one, and why it never will."""
        assert end.slot is not None
        try:
            return self.kernel_in_use().renew(end.slot, end.fd), ""
        except SockproxyError as error:
            end.in_targets = False
            return False, str(error)

    def later(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call after `seconds`, on the loop's thread."""
        return self._loop.later(seconds, partial(self._guard, call))

    def in_turn(self, call: Callable[[], None], *, again: bool) -> None:
        """Call when its turn has come, or goes on, on the loop's thread."""
        self._loop.in_turn(partial(self._guard, call), again=again)

    def _guard(self, call: Callable[..., None], *args: int) -> None:
        """What goes wrong with one pair ends that pair alone."""
        try:
            call(*args)
        except (SockproxyError, OSError) as error:
            self.abort(f"internal error: {error}")

    def check_error(self, end: End) -> bool:
        """Whether `end` has failed. What had come from it before is then on its way."""
        number = take_error(end.sock, sending=not end.fin_sent)
        if number in (0, errno.EAGAIN):
            return False
        # tcp_reset() says so of a RST behind a FIN; who writes into the void is told the same.
        if number == errno.EPIPE and not end.failed and not self._out(end).pump.failure:
            end.had_fin = True
        self.fail(end, os.strerror(number).lower())
        return True

    def _out(self, end: End) -> Direction:
        return self.forward if end is self.a else self.backward

    def _out_of(self, slot: int) -> Direction:
        return self._out(self.a if slot == self.a.slot else self.b)

    def on_hold(self, slot: int) -> None:
        """The parser held the direction out of `slot`."""
        self._guard(self._out_of(slot).on_hold)

    def tell_of_urgent(self, end: End) -> None:
        """Have look_for_urgent() called when an urgent byte comes to `end`. Raises OSError."""
        self._urgent.watch(end.fd)

    def look_for_urgent(self, slot: int) -> None:
        """An urgent byte has come, perhaps for `slot`."""
        self._guard(self._out_of(slot).look_for_urgent)

    def _on_events(self, end: End, out: Direction, into: Direction, events: int) -> None:
        if events & select.EPOLLERR and self.check_error(end):
            return
        out.pump.urgent_waits = bool(events & select.EPOLLPRI)
        if out.shared is not None and out.shared.held:
            out.on_hold()
        if events & ENDED and self.outcome is None:
            out.on_end_of_source()
        if events & (select.EPOLLIN | ENDED) and self.outcome is None:
            out.run_pump()
        if events & (select.EPOLLOUT | ENDED) and self.outcome is None:
            into.on_space()

    # -- the end ----------------------------------------------------------------------------

    def on_finished(self) -> None:
        """A direction has passed its end on; with both, the pair is done."""
        if self._farewell is not None:
            self._farewell.look()
        elif self.forward.state is self.backward.state is State.FINISHED:
            self._close("finished", reset=False)

    def fail(self, end: End, why: str) -> None:
        """`end` has failed. What had come from it goes to the other end, and then a RST."""
        if not end.failed:
            self.note_failure(end, why)
            out = self._out(end)
            if self.outcome is None:
                out.on_end_of_source()
            if self.outcome is None:
                out.run_pump()
            if self.outcome is None and self._farewell is not None:
                self._farewell.look()

    def note_failure(self, end: End, why: str) -> None:
        """The same, by the direction out of it, which is at its end."""
        if end.failed or self.outcome is not None:
            return
        end.failed = why
        outcome = f"{why} ({'client' if end is self.a else 'upstream'})"
        if self._farewell is not None or fence(end.sock) != TCP_CLOSE:
            # The other one too, or its psock alone, which has lost what it had.
            self._close(outcome, reset=True)
            return
        out = self._out(end)
        out.opposite.drop()  # nobody will read it, and who sends it is not to wait
        self._farewell = Farewell(self, out, lambda: self._close(outcome, reset=True))

    def abort(self, why: str) -> None:
        """Drop what is under way and reset both ends."""
        for direction in (self.forward, self.backward):
            if direction.state is State.REDIRECT:
                direction.shared.action = Action.DROP
        self._close(why, reset=True)

    def _close(self, outcome: str, *, reset: bool) -> None:
        if self.outcome is not None:
            return
        self._last_stats = pair_stats(self, outcome)
        self.outcome = outcome
        self.forward.close()
        self.backward.close()
        self._unwatch()
        for end in (self.a, self.b):
            end.leave()
            end.close(reset=reset)
        self._on_end(self)

    def abandon(self) -> None:
        """In a forked child: let go of what is the parent's, which goes on with it."""
        for direction in (self.forward, self.backward):
            direction.pump.close()
        for end in (self.a, self.b):
            end.sock.close()  # not for the parent, so no FIN and no RST

    def stats(self) -> PairStats:
        """Counters and states now, or as they were at the end."""
        return self._last_stats or pair_stats(self, None)

    def moved(self) -> int:
        """Bytes moved or dropped so far; it stands still while the pair is idle."""
        return self.forward.moved() + self.backward.moved()

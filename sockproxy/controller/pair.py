"""Two sockets whose bytes go from one to the other, from pairing to close."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Callable
from functools import partial

from sockproxy.controller.direction import Direction, State
from sockproxy.controller.end import End
from sockproxy.controller.loop import EventLoop, Timer
from sockproxy.controller.pump import Pipes, Pump
from sockproxy.controller.stats import PairStats, pair_stats
from sockproxy.errors import SockproxyError
from sockproxy.kernel import Action, Inspection, SpliceKernel
from sockproxy.net.tcp import take_error

__all__ = ["Pair"]

BASE_EVENTS = select.EPOLLET | select.EPOLLRDHUP
ENDED = select.EPOLLRDHUP | select.EPOLLHUP


class Pair:
    """A spliced or relayed pair. All methods belong to the loop's thread.

    loop, kernel, pipes: shared by the pairs of one splicer; kernel None means relay.
    budget: bytes per direction that may lie between the two sockets.
    on_end: called once, after the sockets have been closed.
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
        why_not: str,
        on_end: Callable[[Pair], None],
    ) -> None:
        self.number = number
        self._loop = loop
        self.born = time.time()
        self.outcome: str | None = None
        """How it ended: "finished", or why it was reset. None while it lives."""
        self._kernel = kernel
        self._why_not = why_not
        self._on_end = on_end
        self.a, self.b = End(sockets[0]), End(sockets[1])
        self.names = tuple((s.getpeername(), s.getsockname()) for s in sockets)
        a_to_b = Pump(pipes, self.a.fd, self.b.fd, budget)
        b_to_a = Pump(pipes, self.b.fd, self.a.fd, budget)
        self.forward = Direction(self, self.a, self.b, a_to_b, budget)
        self.backward = Direction(self, self.b, self.a, b_to_a, budget)
        self.forward.opposite, self.backward.opposite = self.backward, self.forward
        self.slots: tuple[int, ...] = ()
        self._last_stats: PairStats | None = None

    def begin(self) -> None:
        """Enrol both sockets and start both directions."""
        if self._kernel is not None:
            self._enrol(self._kernel)
        for end, out, into in self._roles():
            on_events = partial(self._on_events, end, out, into)
            self._loop.watch(end.fd, BASE_EVENTS, partial(self._guard, on_events))
            end.events = BASE_EVENTS
        for direction in (self.forward, self.backward):
            if self.outcome is None:
                direction.begin(self._kernel, self._why_not)

    def _enrol(self, kernel: SpliceKernel) -> None:
        for end in (self.a, self.b):
            end.enrol(kernel)
        refused = [end.why_not for end in (self.a, self.b) if end.slot is None]
        if refused:
            self._why_not = refused[0] or "not enrolled"
            self._kernel = None
            self.a.leave()
            self.b.leave()
        self.slots = tuple(end.slot for end in (self.a, self.b) if end.slot is not None)

    def _roles(self) -> tuple[tuple[End, Direction, Direction], ...]:
        """Each end with the direction out of it and the one into it."""
        return ((self.a, self.forward, self.backward), (self.b, self.backward, self.forward))

    # -- what a direction asks of its pair -----------------------------------------------

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

    def rewatch(self) -> None:
        """Ask epoll for what the two directions wait for."""
        for end, out, into in self._roles():
            events = BASE_EVENTS
            if out.state is State.PUMP:
                events |= select.EPOLLIN
            if into.state is State.PUMP:
                events |= select.EPOLLOUT
            if events != end.events and self.outcome is None:
                end.events = events
                self._loop.rewatch(end.fd, events)

    def later(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call after `seconds`, on the loop's thread."""
        return self._loop.later(seconds, partial(self._guard, call))

    def _guard(self, call: Callable[..., None], *args: int) -> None:
        """What goes wrong with one pair ends that pair alone."""
        try:
            call(*args)
        except (SockproxyError, OSError) as error:
            self.abort(f"internal error: {error}")

    def check_error(self, end: End) -> bool:
        """Reset the pair if `end` has failed; whether it has."""
        number = take_error(end.sock)
        if number in (0, errno.EAGAIN):
            return False
        self.reset(end, os.strerror(number).lower())
        return True

    def on_hold(self, slot: int) -> None:
        """The parser held the direction out of `slot`."""
        self._guard((self.forward if slot == self.a.slot else self.backward).on_hold)

    def _on_events(self, end: End, out: Direction, into: Direction, events: int) -> None:
        if events & select.EPOLLERR and self.check_error(end):
            return
        if out.shared is not None and out.shared.held:
            out.on_hold()
        if events & ENDED and self.outcome is None:
            out.on_end_of_source()
        if events & (select.EPOLLIN | ENDED) and self.outcome is None:
            out.run_pump()
        if events & (select.EPOLLOUT | ENDED) and self.outcome is None:
            into.run_pump()

    # -- the end ----------------------------------------------------------------------------

    def on_finished(self) -> None:
        """A direction has passed its end on; with both, the pair is done."""
        if self.forward.state is self.backward.state is State.FINISHED:
            self._close("finished", reset=False)

    def reset(self, end: End | None, why: str) -> None:
        """One end failed (None: unknown which): the other is told by a RST."""
        side = "" if end is None else " (client)" if end is self.a else " (upstream)"
        self._close(why + side, reset=True)

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
        for end in (self.a, self.b):
            self._loop.unwatch(end.fd)
            end.leave()
            end.close(reset=reset)
        self._on_end(self)

    def stats(self) -> PairStats:
        """Counters and states now, or as they were at the end."""
        return self._last_stats or pair_stats(self, None)

    def moved(self) -> int:
        """Bytes moved or dropped so far; it stands still while the pair is idle."""
        return self.forward.moved() + self.backward.moved()

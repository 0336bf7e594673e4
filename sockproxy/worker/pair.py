"""Two sockets whose bytes go from one to the other, from pairing to close."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable
from functools import partial

from sockproxy.bpf.abi import Role
from sockproxy.bpf.seam import SpliceKernel
from sockproxy.errors import SockproxyError
from sockproxy.net.tcp import TCP_CLOSE, fence, take_error
from sockproxy.worker.direction import Direction
from sockproxy.worker.door import Changed, Event, Failed, Side
from sockproxy.worker.end import End
from sockproxy.worker.farewell import Farewell
from sockproxy.worker.joint import IT_STREAMS, Joint
from sockproxy.worker.loop import EventLoop, Timer
from sockproxy.worker.pump import Pipes, Pump
from sockproxy.worker.stats import PairStats
from sockproxy.worker.table import Phase, Row, State
from sockproxy.worker.traffic import Traffic
from sockproxy.worker.urgent import UrgentSignals

__all__ = ["Pair"]

# Edges: a direction in REDIRECT causes hardly any, because its source wakes the strparser
# and not us. Whoever takes a direction back looks at both ends once.
EVENTS = select.EPOLLET | select.EPOLLIN | select.EPOLLPRI | select.EPOLLOUT | select.EPOLLRDHUP
ENDED = select.EPOLLRDHUP | select.EPOLLHUP


class Pair:
    """A spliced or relayed pair. All methods belong to the loop's thread.

    row: where others read what it has done. sockets: the client's and the upstream's.
    loop, kernel, pipes: shared by the pairs of one splicer; kernel None means relay.
    budget: bytes per direction that may lie between the two sockets.
    eager: redirect whatever comes. joint: lets a conversation go past the pair.
    already_read: bytes that were read from each of the sockets; they go first.
    on_enrol: called when the two sockets have slots.
    ends: called once with the outcome, before the slots are given back; gives the last counters.
    on_end: called once with these, after the sockets have been closed.
    tell: receives the events before that. urgent: tells of urgent bytes that the kernel meets.
    """

    def __init__(
        self,
        row: Row,
        sockets: tuple[socket.socket, socket.socket],
        *,
        loop: EventLoop,
        kernel: SpliceKernel | None,
        pipes: Pipes,
        budget: int,
        eager: bool,
        why_not: str,
        on_enrol: Callable[[Pair], None],
        ends: Callable[[Row, str], PairStats],
        on_end: Callable[[Pair, PairStats], None],
        tell: Callable[[Event], None],
        urgent: UrgentSignals,
        joint: Joint,
        already_read: tuple[bytes, bytes] = (b"", b""),
    ) -> None:
        self.row = row
        self._loop = loop
        self.outcome: str | None = None
        """How it ended: "finished", or why it was reset. None while it lives."""
        self._kernel = kernel
        self._why_not = why_not
        self._on_enrol, self._ends, self._on_end = on_enrol, ends, on_end
        self._tell, self._urgent, self._joint = tell, urgent, joint
        self.a, self.b = End(sockets[0]), End(sockets[1])
        self.forward, self.backward = (
            Direction(
                self,
                source,
                target,
                Pump(pipes, source.sock, target.sock, budget, own_row, ahead),
                Traffic(eager=eager),
                own_row,
                budget,
            )
            for source, target, own_row, ahead in (
                (self.a, self.b, row.forward, already_read[0]),
                (self.b, self.a, row.backward, already_read[1]),
            )
        )
        self.forward.opposite, self.backward.opposite = self.backward, self.forward
        self.slots: tuple[int, ...] = ()
        self._farewell: Farewell | None = None
        """Of an end that failed to the other."""

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
        directions = (self.forward, self.backward)
        if self._kernel is None:  # one that refuses tells why in enrol()
            for direction in directions:
                direction.refuse(self._why_not)
        why_relayed = self._why_not if self._kernel is None else ""
        self._joint.begin(self.a.sock, self.b.sock, why_relayed)
        for direction in directions:
            if self.outcome is None:
                self._guard(direction.begin)

    def _roles(self) -> tuple[tuple[End, Direction, Direction], ...]:
        """Each end with the direction out of it and the one into it."""
        return ((self.a, self.forward, self.backward), (self.b, self.backward, self.forward))

    # -- what a direction asks of its pair -----------------------------------------------

    def enrol(self) -> bool:
        """Whether both sockets have slots in the kernel; if not, none of them ever will."""
        if self._kernel is not None and not self.slots:
            for end in (self.a, self.b):
                end.enrol(self._kernel)
            if self.a.slot is not None and self.b.slot is not None:
                self.slots = (self.a.slot, self.b.slot)
                self._on_enrol(self)
            else:
                self._kernel = None
                why_not = self.a.why_not or self.b.why_not or "not enrolled"
                self.a.leave()
                self.b.leave()
                for direction in (self.forward, self.backward):
                    direction.refuse(why_not)
                self._joint.give_up(self.a.sock, self.b.sock, why_not)
        return self._kernel is not None

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

    def changed(self, source: End, phase: Phase) -> None:
        """Tell that the direction out of `source` changes hands."""
        side: Side = "forward" if source is self.a else "backward"
        self._tell(Changed(self.row.number, side, phase.state.value, phase.why))
        if phase.state is State.REDIRECT:  # it is a conversation
            self._joint.make(self.a.sock, self.b.sock)

    def streams(self) -> None:
        """One direction has moved very much, and it has not become a conversation."""
        self._joint.give_up(self.a.sock, self.b.sock, IT_STREAMS)

    def before_fin(self, source: End) -> str:
        """Why the FIN of `source` is passed on as a RST; behind it the kernel may forget us."""
        role = Role.OPENER if source is self.a else Role.ACCEPTER
        return "closed with bytes unread" if self._joint.left_unread(role) else ""

    def check_error(self, end: End) -> bool:
        """Whether `end` has failed. What had come from it before is then on its way."""
        number = take_error(end.sock, sending=not end.fin_sent)
        if number in (0, errno.EAGAIN):
            return False
        # tcp_reset() makes EPIPE of a RST behind a FIN; so does a send to what has failed before.
        had_fin = number == errno.EPIPE and not self._out(end).pump.failure
        self.fail(end, os.strerror(number).lower(), had_fin=had_fin)
        return True

    def _out(self, end: End) -> Direction:
        return self.forward if end is self.a else self.backward

    def _out_of(self, slot: int) -> Direction:
        return self._out(self.a if slot == self.a.slot else self.b)

    def on_hold(self, slot: int) -> None:
        """The parser held the direction out of `slot`."""
        if (redirect := self._out_of(slot).redirect) is not None:
            self._guard(redirect.on_hold)

    def tell_of_urgent(self, end: End) -> None:
        """Have look_for_urgent() called when an urgent byte comes to `end`. Raises OSError."""
        self._urgent.watch(end.fd)

    def look_for_urgent(self, slot: int) -> None:
        """An urgent byte has come, perhaps for `slot`."""
        if (redirect := self._out_of(slot).redirect) is not None:
            self._guard(redirect.look_for_urgent)

    def _on_events(self, end: End, out: Direction, into: Direction, events: int) -> None:
        if events & select.EPOLLERR and self.check_error(end):
            return
        out.pump.urgent_waits = bool(events & select.EPOLLPRI)
        redirect = out.redirect
        if redirect is not None and out.row.phase.state is State.REDIRECT:
            redirect.on_hold()
            if events & ENDED and self.outcome is None:
                redirect.on_end_of_source()
        if events & (select.EPOLLIN | ENDED) and self.outcome is None:
            out.run_pump()
        waits_for_space = into.pump.held or into.waits.for_space
        if events & (select.EPOLLOUT | ENDED) and waits_for_space and self.outcome is None:
            into.on_space()

    def on_finished(self) -> None:
        """A direction has passed its end on; with both, the pair is done."""
        if self._farewell is not None:
            self._farewell.look()
        elif self.forward.row.phase.state is self.backward.row.phase.state is State.FINISHED:
            self._close("finished", reset=False)

    def fail(self, end: End, why: str, *, had_fin: bool = False) -> None:
        """`end` has failed. What had come from it goes to the other end, and then a RST."""
        if not end.failed:
            self.note_failure(end, why, had_fin=had_fin)
            out = self._out(end)
            if self.outcome is None and out.redirect is not None:
                out.redirect.on_end_of_source()
            if self.outcome is None:
                out.run_pump()
            if self.outcome is None and self._farewell is not None:
                self._farewell.look()

    def note_failure(self, end: End, why: str, *, had_fin: bool | None = False) -> None:
        """`end` has failed, and the direction out of it has moved all that had come."""
        if end.failed or self.outcome is not None:
            return
        end.fail(why, had_fin=had_fin)
        which = "client" if end is self.a else "upstream"
        outcome = f"{why} ({which})"
        self._tell(Failed(self.row.number, which, why))
        if self._farewell is not None or (had_fin is not None and fence(end.sock) != TCP_CLOSE):
            # Both ends have failed; or TCP goes on, and the psock has failed and lost its bytes.
            self._close(outcome, reset=True)
            return
        out = self._out(end)
        out.opposite.drop()  # nobody will read it, and who sends it is not to wait
        self._farewell = Farewell(self.later, out, lambda: self._close(outcome, reset=True))

    def drop(self, side: Side) -> None:
        """From now on throw away the bytes of one direction, when nothing goes past us any more."""
        direction = self.forward if side == "forward" else self.backward

        def go_on(arrived: bool) -> None:
            if self.outcome is None and arrived:
                direction.drop()
            elif self.outcome is None:
                self.abort("a message that went past the proxy has not arrived in time")

        self._joint.end(self.later, go_on)

    def abort(self, why: str) -> None:
        """Drop what is under way and reset both ends."""
        for direction in (self.forward, self.backward):
            direction.drop_in_kernel()
        self._close(why, reset=True)

    def _close(self, outcome: str, *, reset: bool) -> None:
        if self.outcome is not None:
            return
        stats = self._ends(self.row, outcome)
        self.outcome = outcome
        if self._farewell is not None:
            self._farewell.close()
        self.forward.close()
        self.backward.close()
        self._unwatch()
        for end in (self.a, self.b):
            end.close(reset=reset)
        self._on_end(self, stats)

    def abandon(self) -> None:
        """In a forked child: let go of what is the parent's, which goes on with it."""
        for direction in (self.forward, self.backward):
            direction.pump.close()
        for end in (self.a, self.b):
            end.sock.close()  # not for the parent, so no FIN and no RST

    def moved(self) -> int:
        """Bytes moved or dropped so far; it stands still while the pair is idle."""
        return self.forward.moved() + self.backward.moved() + self._joint.read().bytes

"""One direction of a pair: who moves its bytes, and how that changes hands.

    PUMP ──start──> REDIRECT ──held, or FIN──> DRAIN ──backlog sent──> PUMP ──EOF──> FINISHED

REDIRECT: the kernel moves the bytes. DRAIN: it takes no more, and what it took is
still being sent. PUMP: user space moves them. Acceleration is a state, not a kind of
connection. Every direction begins in PUMP, and stays there while it carries what
sockproxy.worker.traffic does not call a conversation, or when the kernel refuses.

Three rules make the changes exact; each answers something in the kernel:

1. A source leaves its sockmap only once its strparser can take nothing more: it was
   held by our parser (strp->stopped), or it is at its FIN with all taken. Leaving
   clears the programs without the socket's lock, and sk_psock_strp_read() drops
   what the strparser takes while there is no verdict.
2. User space writes to a target only when the kernel has sent all that was redirected
   to it: redirected bytes wait in the target's psock, not in its send queue.
3. A stopped strparser is never started again: strp_init() would clear a work item
   that may be queued. The socket gets a new psock, at a moment when its own psock
   holds nothing and the opposite direction cannot add to it.
"""

from __future__ import annotations

import enum
import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sockproxy.bpf.abi import Action, Held
from sockproxy.bpf.seam import Inspection
from sockproxy.errors import SockproxyError
from sockproxy.net.tcp import TCP_CLOSE, fence, has_space, kick, take_error
from sockproxy.worker.end import End
from sockproxy.worker.loop import Timer
from sockproxy.worker.mark import Mark, stop_at_mark
from sockproxy.worker.pump import Pump
from sockproxy.worker.traffic import SMALL, Traffic

if TYPE_CHECKING:
    from sockproxy.worker.pair import Pair

__all__ = ["Direction", "State"]

ROUNDS = 4  # of reading and writing, a part of a turn: then what is small is served
PARTS = 4  # of a turn: then other streams have theirs
U32 = 0xFFFFFFFF
FIRST_WAIT, LONGEST_WAIT = 0.0005, 0.05  # seconds between looks at a draining backlog
URGENT_WAIT = 0.02  # seconds between looks for an urgent byte that is still on its way
YIELDS = 8  # looks in a row before that; epoll's shortest wait is a millisecond


class State(enum.Enum):
    """Who moves the bytes."""

    REDIRECT = "redirect"
    DRAIN = "drain"
    PUMP = "pump"
    FINISHED = "finished"


class Direction:
    """The bytes from `source` to `target`. All methods belong to the loop's thread."""

    def __init__(
        self, pair: Pair, source: End, target: End, pump: Pump, traffic: Traffic, budget: int
    ) -> None:
        self._pair = pair
        self.source, self.target = source, target
        self.pump = pump
        self.opposite: Direction
        self.state = State.PUMP
        self.why = "no conversation so far"
        """Why the kernel does not move the bytes; empty in REDIRECT."""
        self.dropped = False
        self.shared: Any = None
        """The struct direction, of a direction whose two sockets are enrolled."""
        self._budget = budget
        self._traffic = traffic
        self._burst = 0
        self._refused = False
        self._fresh = True  # the source's psock has had no strparser yet
        self._wait, self._yields = FIRST_WAIT, YIELDS
        self._on_space: list[Callable[[], None]] = []  # to be called when the target has some
        self._timer: Timer | None = None
        self._bulk = False  # the last run moved much
        self._in_turn = False  # the next one is asked for
        self._parts = 0  # had of this turn

    # -- starting and stopping the kernel --------------------------------------------

    def begin(self) -> None:
        """Start; what is there to be moved, the loop reports."""
        if self.pump.has_more:
            self.run_pump()
        elif not self._refused and self._traffic.suits_redirect():
            self._hand_over()

    def refuse(self, why: str) -> None:
        """The kernel is not to be asked again for this direction."""
        self._refused, self.why = True, why

    def _start(self) -> None:
        """PUMP to REDIRECT, on a psock that never had a strparser."""
        assert self.source.slot is not None
        shared = self.shared
        try:
            self._pair.tell_of_urgent(self.source)
        except OSError as error:
            self.refuse(f"urgent bytes: {os.strerror(error.errno or 0).lower()}")
            return
        self._fresh = False
        shared.target, shared.budget = self.target.slot, self._budget
        shared.anchored = shared.held = 0
        shared.action = self._action()
        try:
            self._pair.kernel_in_use().start(self.source.slot, self.source.fd)
        except SockproxyError as error:
            self.refuse(str(error))
            return
        self.state, self.why = State.REDIRECT, ""
        self._traffic.started()
        kick(self.source.sock)
        self.look_for_urgent()

    def _action(self) -> Action:
        return Action.DROP if self.dropped else Action.REDIRECT

    def drop(self) -> None:
        """From now on throw the bytes away; the end of the stream still passes on."""
        self.dropped = True
        self.pump.discard_from_now()
        if self.state is State.REDIRECT:
            self.shared.action = Action.DROP
        else:
            # Nothing will be written behind the backlog, so nothing waits for it.
            if self.state is State.DRAIN:
                self.state = State.PUMP
            self._pair.later(0, self.run_pump)

    def on_hold(self) -> None:
        """The parser held the direction: REDIRECT to DRAIN."""
        if self.state is not State.REDIRECT or not self.shared.held:
            return
        # The hold left EAGAIN in sk_err; what else stands there is real.
        self._pair.check_error(self.source)
        if self.state is not State.REDIRECT:
            return
        self._traffic.held()
        self._drain(f"held: {Held(self.shared.held).name.lower().replace('_', ' ')}")

    def on_end_of_source(self) -> None:
        """The source's FIN, or RST, has arrived, with everything before it."""
        if self.state is not State.REDIRECT or self.shared.held:
            return  # the pump reads it, or will
        seen = self._pair.inspect(self.source)
        # Before 5.19 a socket that is reset leaves its sockmaps, after the strparser took all.
        if seen is None or _all_taken(seen):
            self._drain("end of stream")
        elif seen.urgent:
            self.look_for_urgent()  # the strparser takes nothing that stands behind it
        else:
            kick(self.source.sock)
            self._look_again(self.on_end_of_source)

    def look_for_urgent(self) -> None:
        """An urgent byte may have come to the source: if so, REDIRECT to DRAIN."""
        if self.state is not State.REDIRECT or self.shared.held:
            return
        mark = stop_at_mark(self._pair, self.source, self.shared)
        if mark is Mark.AHEAD:
            self._later(URGENT_WAIT, self.look_for_urgent)
        elif mark is Mark.REACHED:
            self._traffic.held()
            self._wait_for_backlog("urgent data")

    def _drain(self, why: str) -> None:
        self._pair.stop(self.source)
        self._wait_for_backlog(why)

    def _wait_for_backlog(self, why: str) -> None:
        self.state, self.why = State.DRAIN, why
        self.pump.urgent_waits = True  # it may: epoll was not told
        self._wait, self._yields = FIRST_WAIT, YIELDS
        self._look_at_backlog()

    def backlog(self) -> int:
        """Bytes that the kernel took and has not yet given to the target's TCP."""
        if self.shared is None or not self.shared.anchored or not self.target.in_targets:
            return 0
        seen = self._pair.inspect(self.target)
        if seen is None:
            raise ConnectionResetError
        sent = seen.write_seq - self.shared.anchor
        return int(self.shared.queued - sent) & U32

    def _sending(self) -> bool:
        """Whether redirected bytes still wait to be sent."""
        try:
            return self.backlog() > 0
        except ConnectionResetError:
            return False  # the target's own event tells the pair

    def moved(self) -> int:
        """Bytes that left the source so far."""
        moved = self.pump.moved + self.pump.discarded
        if self.shared is not None:
            moved += self.shared.redirected_bytes + self.shared.dropped_bytes
        return moved

    def _look_at_backlog(self) -> None:
        if self.state is not State.DRAIN:
            return
        try:
            backlog = 0 if self.target.failed else self.backlog()
        except ConnectionResetError:
            self._pair.fail(self.target, "reset by peer")
            return
        if backlog:
            self._look_behind_backlog(self._look_at_backlog)
            return
        self.shared.anchored = 0  # write_seq is the pump's from here
        self.state = State.PUMP
        self.run_pump()

    def _look_behind_backlog(self, call: Callable[[], None]) -> None:
        """Look again when the kernel may have sent more of the backlog.

        While the target has space sk_psock_backlog() is about to run, and nobody tells when it
        has: so look. Without space it cannot, for as long as a reader likes; then wait for the
        edge, whatever sk_psock_backlog() does meanwhile: if it fills the target before epoll
        has looked, tcp_poll() asks for the next edge.
        """
        if self._yields or has_space(self.target.sock):
            self._look_again(call)
        else:
            self.call_on_space(call)

    def call_on_space(self, call: Callable[[], None]) -> None:
        """Call once, when the target has space again. Asking for the same twice is allowed."""
        if call not in self._on_space:
            self._on_space.append(call)

    def on_space(self) -> None:
        """The target has space."""
        if self._on_space:
            self._wait = FIRST_WAIT
            calls, self._on_space = self._on_space, []
            for call in calls:
                call()
        if self.pump.held:
            self.run_pump()

    def _look_again(self, call: Callable[[], None]) -> None:
        if self._yields:
            # Most backlogs are one skb that a kworker is about to send: let it.
            self._yields -= 1
            os.sched_yield()
            self._later(0, call)
            return
        self._later(self._wait, call)
        self._wait = min(2 * self._wait, LONGEST_WAIT)

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        """One timer a direction: it waits for one thing at a time."""
        self._cancel()
        self._timer = self._pair.later(seconds, call)

    def close(self) -> None:
        """The pair has ended: whatever is still called does nothing."""
        self.state = State.FINISHED
        self.shared = None  # the slot may be another's next
        self._cancel()
        self._on_space.clear()
        self.pump.close()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- the pump ---------------------------------------------------------------------

    def run_pump(self) -> None:
        """Move what can be moved, at once if it was little the last time: bulk waits its turn."""
        if self._bulk:
            self._ask_for_turn()
        elif not self._in_turn:
            self._run_pump()

    def _ask_for_turn(self, *, again: bool = False) -> None:
        if not self._in_turn:
            self._in_turn = True
            self._pair.in_turn(self._have_turn, again=again)

    def _have_turn(self) -> None:
        self._in_turn = False
        self._run_pump()

    def _run_pump(self) -> None:
        """For part of a turn; then wait for more, finish, or hand over to the kernel."""
        if self.state is not State.PUMP:
            return
        pump = self.pump
        before = pump.moved
        try:
            more = pump.run(ROUNDS)
        except OSError as error:
            self._pair.fail(self.target, os.strerror(error.errno or 0).lower())
            return
        self._burst += pump.moved - before
        self._bulk = pump.moved - before > SMALL
        if more:
            self._parts = (self._parts + 1) % PARTS
            self._ask_for_turn(again=self._parts > 0)
        elif pump.held:
            pass  # the target is full
        elif pump.at_end:
            self._finish()
        elif not self._refused:
            if self._burst:
                self._traffic.burst(self._burst, self.opposite.moved())
                self._burst = 0
            if self._traffic.suits_redirect():
                self._hand_over()

    def _finish(self) -> None:
        """The source's last byte has been written: pass its end on."""
        if self.pump.failure:
            self._pair.note_failure(self.source, os.strerror(self.pump.failure).lower())
        elif fence(self.source.sock) == TCP_CLOSE and not self.source.fin_sent:
            # After a FIN alone our side would still be open: a reset, read as an end, which it is
            # if the FIN came first.
            self.source.had_fin |= take_error(self.source.sock, sending=False) == errno.EPIPE
            self._pair.note_failure(self.source, "reset by peer")
        if self.state is not State.PUMP:
            return  # both ends have failed
        if not self.target.failed and self._sending():
            self._look_behind_backlog(self.run_pump)  # of a dropped direction, from before the drop
            return
        self.state, self.why = State.FINISHED, "end of stream"
        self._cancel()
        if not self.target.failed and (self.source.had_fin or not self.source.failed):
            self.target.send_fin()
        self._pair.on_finished()

    def _hand_over(self) -> None:
        """PUMP to REDIRECT, with nothing in the pump; or look again later."""
        rest = self._traffic.rest()
        if rest > 0:
            self._later(rest, self.run_pump)
            return
        if self.shared is None:
            kernel = self._pair.enrol()
            if kernel is None:
                return
            assert self.source.slot is not None
            self.shared = kernel.direction(self.source.slot)
        if self._fresh:
            self._start()
        elif self._sending() or self.opposite.state is State.DRAIN or not self.opposite.pause():
            self._try_later()
        else:
            self._restart()

    def _try_later(self) -> None:
        """Hand over when it may be quiet: not while the opposite direction's reader is stalled."""
        if has_space(self.source.sock):
            self._later(self._traffic.retry_after(), self.run_pump)
        else:
            self.opposite.call_on_space(self.run_pump)

    def _restart(self) -> None:
        """At a quiet moment, PUMP to REDIRECT on a new psock."""
        renewed, why = self._pair.renew(self.source)
        if why:
            # The socket is out of the sockmaps for good; so nothing may be
            # redirected to it, and the opposite direction stays paused.
            self.refuse(why)
            return
        if renewed:
            self._start()
        else:
            self._try_later()
        self.opposite.resume()

    def pause(self) -> bool:
        """See to it that nothing is, or will be, redirected to the target; if it is so.

        The parser holds what arrives from now on, and the fence waits for one that runs.
        """
        if self.state is not State.REDIRECT:
            return True
        self.shared.action = Action.HOLD
        fence(self.source.sock)
        if self._sending():
            self.resume()
            return False
        return True

    def resume(self) -> None:
        """Undo pause(). What was held meanwhile is told by its hold event."""
        if self.state is State.REDIRECT:
            self.shared.action = self._action()


def _all_taken(seen: Inspection) -> bool:
    """Whether nothing is unread before the end. A FIN is, for good; after a RST there may be none,
    and what is unread is the urgent byte."""
    unread = (seen.rcv_nxt - seen.copied_seq) & U32
    return unread == 0 or (unread == 1 and not (seen.urgent and seen.state == TCP_CLOSE))

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
   what the strparser takes while there is no verdict program.
2. User space writes to a target only when the kernel has sent all that was redirected
   to it: redirected bytes wait in the target's psock, not in its send queue.
3. A stopped strparser is never started again: strp_init() would clear a work item
   that may be queued. The socket gets a new psock, at a moment when its own psock
   holds nothing and the opposite direction cannot add to it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Protocol

from sockproxy.errors import SockproxyError
from sockproxy.net.tcp import TCP_CLOSE, fence, has_space, take_error
from sockproxy.worker.end import End
from sockproxy.worker.loop import Timer
from sockproxy.worker.pump import Pump
from sockproxy.worker.redirect import Owner, Parser, Redirect
from sockproxy.worker.table import AT_END, DirectionRow, Phase, State
from sockproxy.worker.traffic import SMALL, STREAM, Traffic
from sockproxy.worker.turns import ROUNDS, Turns
from sockproxy.worker.waits import Waits

__all__ = ["Connection", "Direction"]


class Connection(Owner, Protocol):
    """What a direction asks of the connection that it is one half of."""

    def later(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call after `seconds`."""

    def in_turn(self, call: Callable[[], None], *, again: bool) -> None:
        """Call when its turn has come, or goes on."""

    def enrol(self) -> bool:
        """Whether both sockets have slots in the kernel; if not, they never will."""

    def note_failure(self, end: End, why: str, *, had_fin: bool | None = False) -> None:
        """`end` has failed, and what had come from it is delivered."""

    def streams(self) -> None:
        """The direction has moved very much by PUMP."""

    def before_fin(self, source: End) -> str:
        """A FIN of `source` is about to be passed on: why it is to be a RST; "" for a FIN."""

    def on_finished(self) -> None:
        """The direction has passed its end on."""


class Direction:
    """The bytes from `source` to `target`. All methods belong to the loop's thread.

    row: where its state and its counters are, for others to read as well.
    budget: bytes that the kernel may have taken and not sent.
    """

    def __init__(
        self,
        connection: Connection,
        source: End,
        target: End,
        pump: Pump,
        traffic: Traffic,
        row: DirectionRow,
        budget: int,
    ) -> None:
        self._connection = connection
        self.source, self.target = source, target
        self.pump, self.row = pump, row
        self.redirect: Redirect | None = None
        """Of a direction whose two sockets are enrolled."""
        self.opposite: Direction
        self._budget = budget
        self._traffic = traffic
        self._burst = 0
        self._refused = False
        self._dropped = False
        self._bulk = False  # the last run moved much
        self.waits = Waits(connection.later, target)
        self._turns: Turns | None = None  # of a direction that has moved much

    def begin(self) -> None:
        """Start; what is there to be moved, the loop reports."""
        if self.pump.has_more:
            self.run_pump()
        elif not self._refused and self._traffic.eager:
            self._hand_over()

    def refuse(self, why: str) -> None:
        """The kernel is not to be asked again for this direction."""
        self._refused = True
        self.row.phase = Phase(self.row.phase.state, why)

    def drop(self) -> None:
        """From now on throw the bytes away; the end of the stream still passes on."""
        self._dropped = True
        self.pump.discard_from_now()
        if self.row.phase.state is State.REDIRECT:
            self.drop_in_kernel()
            return
        # Nothing will be written behind the backlog, so nothing waits for it.
        if self.row.phase.state is State.DRAIN:
            self.row.phase = Phase(State.PUMP, self.row.phase.why)
            self.pump.urgent_waits = True
        self._connection.later(0, self.run_pump)

    def drop_in_kernel(self) -> None:
        """Have the kernel throw away what its parser is still asked about, if it is."""
        if self.row.phase.state is State.REDIRECT and self.redirect is not None:
            self.redirect.parser.drop()

    def moved(self) -> int:
        """Bytes that left the source so far."""
        row = self.row
        moved = row.pumped + row.discarded
        if row.shared is not None:
            moved += row.shared.redirected_bytes + row.shared.dropped_bytes
        return moved

    def close(self) -> None:
        """The connection has ended, its row is written: whatever is still called does nothing."""
        self.row.phase = AT_END
        self.redirect = None  # the slot may be another's next
        self.waits.close()
        self.pump.close()

    # -- PUMP ---------------------------------------------------------------------------

    def run_pump(self) -> None:
        """Move what can be moved, at once if it was little the last time: bulk waits its turn."""
        turns = self._turns
        if turns is None:
            self._run_pump()
        elif self._bulk:
            turns.ask()
        elif not turns.asked:
            self._run_pump()

    def _run_pump(self) -> None:
        """For part of a turn; then wait for more, finish, or hand over to the kernel."""
        pump, row = self.pump, self.row
        if row.phase.state is not State.PUMP:
            return
        before = row.pumped
        try:
            more = pump.run(ROUNDS)
        except OSError as error:
            self._connection.fail(self.target, os.strerror(error.errno or 0).lower())
            return
        moved = row.pumped - before
        self._burst += moved
        self._bulk = moved > SMALL
        if before <= STREAM < row.pumped:
            self._connection.streams()
        if (more or self._bulk) and self._turns is None:
            self._turns = Turns(self._connection.in_turn, self._run_pump)
        if more and self._turns is not None:
            self._turns.go_on()
        elif pump.held:
            pass  # the target is full
        elif pump.at_end:
            self._finish()
        elif not self._refused:
            self._judge()

    def _judge(self) -> None:
        """The source is empty: hand over to the kernel, if it is to have what comes next."""
        burst, self._burst = self._burst, 0
        if burst:
            suits = self._traffic.burst(burst, self.opposite.moved())
        else:
            suits = self._traffic.suits_redirect()
        if suits:
            self._hand_over()

    def on_space(self) -> None:
        """The target has space."""
        if self.waits.for_space:
            self.waits.have_space()
        if self.pump.held:
            self.run_pump()

    def call_on_space(self, call: Callable[[], None]) -> None:
        """Call once, when the target has space again. Asking for the same twice is allowed."""
        self.waits.call_on_space(call)

    def _taken_back(self) -> None:
        """The kernel has given the direction back."""
        self.pump.urgent_waits = True  # perhaps: of what came meanwhile epoll was not told
        self.run_pump()

    def _finish(self) -> None:
        """The source's last byte has been written: pass its end on."""
        source, target = self.source, self.target
        if self.pump.failure:
            self._connection.note_failure(source, os.strerror(self.pump.failure).lower())
        elif not source.failed and fence(source.sock) == TCP_CLOSE and not source.fin_sent:
            # A reset, read as an end: after a FIN alone our side would still be open.
            had_fin = take_error(source.sock, sending=False) == errno.EPIPE
            self._connection.note_failure(source, "reset by peer", had_fin=had_fin)
        elif not source.failed and (why := self._connection.before_fin(source)):
            self._connection.note_failure(source, why, had_fin=None)
        if self.row.phase.state is not State.PUMP:
            return  # both ends have failed
        if not target.failed and self.redirect is not None and self.redirect.parser.sending():
            # What the kernel had taken before the direction was dropped is still being sent.
            self.waits.behind_backlog(self.run_pump)
            return
        self.row.phase = AT_END
        if self.waits.timer is not None:
            self.waits.cancel()
        if not target.failed and (source.had_fin or not source.failed):
            target.send_fin()
        self._connection.on_finished()

    # -- PUMP to REDIRECT ---------------------------------------------------------------

    def _hand_over(self) -> None:
        """To REDIRECT, with nothing in the pump; or look again later."""
        rest = self._traffic.rest()
        if rest > 0:
            self.waits.later(rest, self.run_pump)
            return
        redirect = self.redirect
        if redirect is None:
            if not self._connection.enrol():
                return
            redirect = self.redirect = self._enrolled()
        if redirect.parser.fresh:
            self._start(redirect)
        elif redirect.parser.sending() or not self._is_quiet():
            self._try_later()
        else:
            self._restart(redirect)

    def _enrolled(self) -> Redirect:
        self.row.shared = shared = self.source.direction()
        return Redirect(
            self._connection,
            self.source,
            self.target,
            Parser(self.source, self.target, shared, self._budget),
            self._traffic,
            self.row,
            self.waits,
            self._taken_back,
        )

    def _start(self, redirect: Redirect) -> None:
        if why := redirect.start(dropped=self._dropped):
            self.refuse(why)

    def _is_quiet(self) -> bool:
        """Whether nothing is redirected to the source: the opposite direction is paused then."""
        opposite = self.opposite
        if opposite.row.phase.state is State.DRAIN:
            return False
        return opposite.redirect is None or opposite.redirect.pause()

    def _restart(self, redirect: Redirect) -> None:
        """At a quiet moment, on a new psock."""
        try:
            renewed = self.source.renew()
        except SockproxyError as error:
            # The socket is out of the sockmaps for good; so nothing may be
            # redirected to it, and the opposite direction stays paused.
            self.refuse(str(error))
            return
        if renewed:
            self._start(redirect)
        else:
            self._try_later()
        if self.opposite.redirect is not None:
            self.opposite.redirect.resume()

    def _try_later(self) -> None:
        """Hand over when it may be quiet: not while the opposite direction's reader is stalled."""
        if has_space(self.source.sock):
            self.waits.later(self._traffic.retry_after(), self.run_pump)
        else:
            self.opposite.call_on_space(self.run_pump)

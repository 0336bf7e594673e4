"""The time in which the kernel has one direction: its states REDIRECT and DRAIN.

The rules are at the head of sockproxy.worker.direction, which has the other states.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from sockproxy.bpf.abi import Action, Held, SharedDirection
from sockproxy.bpf.seam import Inspection
from sockproxy.errors import SockproxyError
from sockproxy.net.tcp import TCP_CLOSE, fence, kick
from sockproxy.worker.end import End
from sockproxy.worker.mark import Mark, stop_at_mark
from sockproxy.worker.table import DirectionRow, Phase, State
from sockproxy.worker.traffic import Traffic
from sockproxy.worker.waits import Waits

__all__ = ["Owner", "Parser", "Redirect"]

U32 = 0xFFFFFFFF
URGENT_WAIT = 0.02  # seconds between looks for an urgent byte that is still on its way


class Owner(Protocol):
    """The connection: told of changes, asked about errors and urgent bytes of its sockets."""

    def changed(self, source: End, phase: Phase) -> None:
        """The direction out of `source` changes hands in the midst of its stream."""

    def tell_of_urgent(self, end: End) -> None:
        """Have look_for_urgent() called when an urgent byte comes to `end`. Raises OSError."""

    def check_error(self, end: End) -> bool:
        """Whether `end` has failed, by an error that stands in its socket."""

    def fail(self, end: End, why: str) -> None:
        """`end` has failed: what had come from it is still to be delivered."""


class Redirect:
    """All methods belong to the loop's thread. Each does nothing in a state that it is not for.

    taken_back: called when DRAIN is over, and user space has the direction.
    """

    __slots__ = (
        "_owner",
        "_row",
        "_source",
        "_taken_back",
        "_target",
        "_traffic",
        "_waits",
        "parser",
    )

    def __init__(
        self,
        owner: Owner,
        source: End,
        target: End,
        parser: Parser,
        traffic: Traffic,
        row: DirectionRow,
        waits: Waits,
        taken_back: Callable[[], None],
    ) -> None:
        self._owner = owner
        self._source, self._target = source, target
        self.parser, self._traffic, self._row, self._waits = parser, traffic, row, waits
        self._taken_back = taken_back

    def start(self, *, dropped: bool) -> str:
        """PUMP to REDIRECT, on a psock that never had a strparser; or why that will never be."""
        try:
            self._owner.tell_of_urgent(self._source)
        except OSError as error:
            return f"urgent bytes: {os.strerror(error.errno or 0).lower()}"
        try:
            self.parser.start(dropped=dropped)
        except SockproxyError as error:
            return str(error)
        self._row.phase = Phase(State.REDIRECT, "")
        self._owner.changed(self._source, self._row.phase)
        self._traffic.started()
        kick(self._source.sock)
        self.look_for_urgent()
        return ""

    def pause(self) -> bool:
        """See to it that nothing is, or will be, redirected to the target; if it is so."""
        if self._row.phase.state is not State.REDIRECT:
            return True
        self.parser.hold()
        if self.parser.sending():
            self.parser.go_on()
            return False
        return True

    def resume(self) -> None:
        """Undo pause()."""
        if self._row.phase.state is State.REDIRECT:
            self.parser.go_on()

    def on_hold(self) -> None:
        """The parser may have held the direction: REDIRECT to DRAIN."""
        if self._row.phase.state is not State.REDIRECT or not (why := self.parser.held()):
            return
        # The hold left EAGAIN in sk_err, which is none; any other error there is the socket's.
        self._owner.check_error(self._source)
        if self._row.phase.state is not State.REDIRECT:
            return
        self._traffic.held()
        self._source.stop()
        self._break_off(f"held: {why}")

    def on_end_of_source(self) -> None:
        """The source's FIN, or RST, has arrived, with everything before it."""
        if self._row.phase.state is not State.REDIRECT or self.parser.held():
            return  # the pump reads it, or will
        all_taken, is_urgent = self.parser.at_end()
        if all_taken:
            self._source.stop()
            self._drain("end of stream")
        elif is_urgent:
            self.look_for_urgent()  # the strparser takes nothing that stands behind it
        else:
            kick(self._source.sock)
            self._waits.again(self.on_end_of_source)

    def look_for_urgent(self) -> None:
        """An urgent byte may have come to the source: if so, REDIRECT to DRAIN."""
        if self._row.phase.state is not State.REDIRECT or self.parser.held():
            return
        mark = self.parser.stop_at_mark()
        if mark is Mark.AHEAD:
            self._waits.later(URGENT_WAIT, self.look_for_urgent)
        elif mark is Mark.REACHED:
            self._traffic.held()
            self._break_off("urgent data")

    def _break_off(self, why: str) -> None:
        """The source is stopped in the midst of its stream."""
        self._owner.changed(self._source, Phase(State.DRAIN, why))
        self._drain(why)

    def _drain(self, why: str) -> None:
        """The source is stopped: wait until what was redirected has been sent."""
        self._row.phase = Phase(State.DRAIN, why)
        self._waits.start_anew()
        self._look_at_backlog()

    def _look_at_backlog(self) -> None:
        """DRAIN to PUMP, if nothing waits to be sent."""
        if self._row.phase.state is not State.DRAIN:
            return
        try:
            backlog = 0 if self._target.failed else self.parser.backlog()
        except ConnectionResetError:
            self._owner.fail(self._target, "reset by peer")
            return
        if backlog:
            self._waits.behind_backlog(self._look_at_backlog)
            return
        self.parser.let_go()
        self._row.phase = Phase(State.PUMP, self._row.phase.why)
        self._taken_back()


class Parser:
    """The struct direction, shared with BPF, of a source that is enrolled, as its target is.

    budget: bytes that may wait in the target's psock.
    """

    __slots__ = ("_budget", "_dropped", "_shared", "_source", "_target", "fresh")

    def __init__(self, source: End, target: End, shared: SharedDirection, budget: int) -> None:
        self._source, self._target, self._shared = source, target, shared
        self._budget = budget
        self._dropped = False
        self.fresh = True
        """The source's psock has had no strparser yet."""

    def start(self, *, dropped: bool) -> None:
        """Let the kernel take what the source gives, by a psock that never had a strparser.

        Raises SockproxyError when it refuses.
        """
        shared = self._shared
        assert self._target.slot is not None
        self.fresh, self._dropped = False, dropped
        shared.target, shared.budget = self._target.slot, self._budget
        shared.anchored = shared.held = 0
        self.go_on()
        self._source.start()

    def drop(self) -> None:
        """Have the parser throw away what it is asked about from now on."""
        self._dropped = True
        self._shared.action = Action.DROP

    def hold(self) -> None:
        """Have the parser hold what arrives from now on; the fence waits for one that runs."""
        self._shared.action = Action.HOLD
        fence(self._source.sock)

    def go_on(self) -> None:
        """Undo hold(). What was held meanwhile is told by its hold event."""
        self._shared.action = Action.DROP if self._dropped else Action.REDIRECT

    def held(self) -> str:
        """Why the parser has held the direction; "" when it has not."""
        held = self._shared.held
        return Held(held).name.lower().replace("_", " ") if held else ""

    def stop_at_mark(self) -> Mark:
        """Take the bytes back if an urgent one is next: see sockproxy.worker.mark."""
        return stop_at_mark(self._source, self._shared)

    def at_end(self) -> tuple[bool, bool]:
        """Of a source whose FIN or RST has come: whether all before it was taken, and whether an
        urgent byte stands in the way."""
        seen = self._source.inspect()
        # Before 5.19 a socket that is reset leaves its sockmaps, after the strparser took all.
        if seen is None or _all_taken(seen):
            return True, False
        return False, seen.urgent

    def backlog(self) -> int:
        """Bytes that the kernel took and has not yet given to the target's TCP.

        Raises ConnectionResetError when the target has been reset.
        """
        if not self._shared.anchored or not self._target.in_targets:
            return 0
        seen = self._target.inspect()
        if seen is None:
            raise ConnectionResetError
        return int(self._shared.queued - (seen.write_seq - self._shared.anchor)) & U32

    def sending(self) -> bool:
        """Whether redirected bytes still wait to be sent."""
        try:
            return self.backlog() > 0
        except ConnectionResetError:
            return False  # the target's own event tells the connection

    def let_go(self) -> None:
        """The backlog is sent, and what the target's TCP sends from here is user space's."""
        self._shared.anchored = 0


def _all_taken(seen: Inspection) -> bool:
    """Whether nothing is unread before the end. A FIN is, for good; after a RST there may be none,
    and what is unread is the urgent byte."""
    unread = (seen.rcv_nxt - seen.copied_seq) & U32
    return unread == 0 or (unread == 1 and not (seen.urgent and seen.state == TCP_CLOSE))

"""The parser of one direction, in the kernel: what it is told, and what it has taken and not sent.

Which of these may be called when, and why, is at the head of sockproxy.worker.direction.
"""

from __future__ import annotations

from typing import Any

from sockproxy.bpf.abi import Action, Held
from sockproxy.bpf.seam import Inspection
from sockproxy.net.tcp import TCP_CLOSE, fence
from sockproxy.worker.end import End
from sockproxy.worker.mark import Mark, stop_at_mark

__all__ = ["Parser"]

U32 = 0xFFFFFFFF


class Parser:
    """The struct direction, shared with BPF, of a source that is enrolled, as its target is.

    budget: bytes that may wait in the target's psock.
    """

    __slots__ = ("_budget", "_dropped", "_shared", "_source", "_target", "fresh")

    def __init__(self, source: End, target: End, shared: Any, budget: int) -> None:
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

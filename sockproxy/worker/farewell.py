"""What a failed end leaves behind: what had come from it is delivered before its reset is.

TCP lets what has arrived be read, and then tells of the reset. So does a proxy only if it reads
that to its end, waits until the other end has acknowledged it, and resets it then: a RST takes
along what its sender has not had acknowledged.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from sockproxy.net.tcp import unacknowledged
from sockproxy.worker.direction import Direction
from sockproxy.worker.loop import Timer
from sockproxy.worker.table import State

__all__ = ["Farewell"]

PATIENCE = 60.0  # seconds without an acknowledgement; as long as tcp_fin_timeout's default
FIRST_WAIT, LONGEST_WAIT = 0.0005, 0.25  # seconds between looks; a delayed ACK takes 0.04


class Farewell:
    """The last bytes from a failed end.

    later: how to be called again. last: the direction out of it. done: called once, when the other
    end has acknowledged them all, or nothing for PATIENCE; unless it is closed before.
    """

    def __init__(
        self,
        later: Callable[[float, Callable[[], None]], Timer],
        last: Direction,
        done: Callable[[], None],
    ) -> None:
        self._later, self._last, self._done = later, last, done
        self._closed = False
        self._wait = FIRST_WAIT
        self._seen = (-1, -1)
        self._deadline = 0.0
        self._waiting = False

    def look(self) -> None:
        """Whether all has been delivered; if not, look again."""
        if self._closed:
            return
        left = unacknowledged(self._last.target.sock)
        now = time.monotonic()
        seen = (self._last.moved(), left)
        if seen != self._seen:
            self._seen, self._deadline = seen, now + PATIENCE
        if (self._last.row.phase.state is State.FINISHED and not left) or now >= self._deadline:
            self._done()
        elif not self._waiting:
            self._waiting = True
            self._later(self._wait, self._look_again)

    def _look_again(self) -> None:
        self._waiting = False
        self._wait = min(2 * self._wait, LONGEST_WAIT)
        self.look()

    def close(self) -> None:
        """The connection has ended, by this or otherwise."""
        self._closed = True

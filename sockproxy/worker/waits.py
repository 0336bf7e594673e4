"""What one direction waits for: a moment, or space at its target."""

from __future__ import annotations

import os
from collections.abc import Callable

from sockproxy.net.tcp import has_space
from sockproxy.worker.end import End
from sockproxy.worker.loop import Timer

__all__ = ["Waits"]

FIRST_WAIT, LONGEST_WAIT = 0.0005, 0.05  # seconds between looks at a draining backlog
YIELDS = 8  # looks in a row before that; epoll's shortest wait is a millisecond


class Waits:
    """One timer, as a direction waits for one thing at a time; and calls for when there is space.

    later: the timer is had from it. target: where there is to be space.
    """

    __slots__ = ("_later", "_target", "_wait", "_yields", "for_space", "timer")

    def __init__(self, later: Callable[[float, Callable[[], None]], Timer], target: End) -> None:
        self._later, self._target = later, target
        self._wait, self._yields = FIRST_WAIT, YIELDS
        self.for_space: list[Callable[[], None]] = []
        """To be called once, when the target has space."""
        self.timer: Timer | None = None

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call after so many seconds, and what was to be called before that not at all."""
        self.cancel()
        self.timer = self._later(seconds, call)

    def cancel(self) -> None:
        """Forget the timer."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def start_anew(self) -> None:
        """What is waited for next has not been looked at yet."""
        self._wait, self._yields = FIRST_WAIT, YIELDS

    def again(self, call: Callable[[], None]) -> None:
        """Call at once the first times, then after pauses that double."""
        if self._yields:
            # Most backlogs are one skb that a kworker is about to send: let it.
            self._yields -= 1
            os.sched_yield()
            self.later(0, call)
            return
        self.later(self._wait, call)
        self._wait = min(2 * self._wait, LONGEST_WAIT)

    def behind_backlog(self, call: Callable[[], None]) -> None:
        """Call when the kernel may have sent more of what was redirected to the target.

        While the target has space sk_psock_backlog() is about to run, and nobody tells when it
        has: so look. Without space it cannot, for as long as a reader likes; then wait for the
        edge, whatever sk_psock_backlog() does meanwhile: if it fills the target before epoll
        has looked, tcp_poll() asks for the next edge.
        """
        if self._yields or has_space(self._target.sock):
            self.again(call)
        else:
            self.call_on_space(call)

    def call_on_space(self, call: Callable[[], None]) -> None:
        """Call once, when the target has space again. Asking for the same twice is allowed."""
        if call not in self.for_space:
            self.for_space.append(call)

    def have_space(self) -> None:
        """The target has space: make the calls that waited for it."""
        self._wait = FIRST_WAIT
        calls, self.for_space = self.for_space, []
        for call in calls:
            call()

    def close(self) -> None:
        """Call nothing any more."""
        self.cancel()
        self.for_space.clear()

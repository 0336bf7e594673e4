"""Tells systemd that a proxy lives, as long as every one of its loops turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from sockproxy.worker.loop import EventLoop

__all__ = ["Watchdog"]

SHARE = 3  # looks in the time after which systemd gives it up


class Watchdog:
    """Looks from the first loop on, when that runs; the other loops must answer each time.

    seconds: after which it is given up. alive: tells that it is not to be.
    """

    def __init__(
        self,
        loop: EventLoop,
        others: Sequence[EventLoop],
        seconds: float,
        alive: Callable[[], None],
    ) -> None:
        self._loop, self._others, self._alive = loop, others, alive
        self._pause = seconds / SHARE
        self._silent: set[int] = set()  # those that have not answered yet

    def look(self) -> None:
        """Now, and again and again."""
        if not self._silent:
            self._alive()
            self._silent = set(range(len(self._others)))
            for number, each in enumerate(self._others):
                each.call(partial(self._loop.call, partial(self._silent.discard, number)))
        self._loop.later(self._pause, self.look)

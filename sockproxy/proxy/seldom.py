"""Lines of a log about what may happen a thousand times a second."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

__all__ = ["Seldom"]

PAUSE = 60.0  # seconds between two lines


class Seldom:
    """Says a line at most once a minute. counts: and then how many others there were before."""

    def __init__(self, log: logging.Logger, *, counts: bool = False) -> None:
        self._log, self._counts = log, counts
        self._last = -PAUSE
        self._unsaid = 0

    def say(self, line: Callable[[], str]) -> None:
        now = time.monotonic()
        if now - self._last < PAUSE:
            self._unsaid += self._counts
            return
        more = f" ({self._unsaid} more since the last such line)" if self._unsaid else ""
        self._log.warning(f"{line()}{more}")
        self._last, self._unsaid = now, 0

"""How commands that run until they are told to end are told: by SIGINT and SIGTERM."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["until_told"]


@contextlib.contextmanager
def until_told() -> Iterator[Callable[[], bool]]:
    """For the length of a `with`: whether one of these has come. The first interrupts nothing, so
    that what is at work is finished; the second does, where that hangs."""
    told: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        told.append(number)
        if len(told) > 1:
            raise KeyboardInterrupt

    before = {each: signal.signal(each, handle) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(told)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)

"""Signals that end a run: an exception where work is done, held back where it is undone."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType, TracebackType

__all__ = ["Interrupted", "Undo", "check", "held", "watching"]

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal asks this process to end; `number` is its number.

    It is no Exception, as libraries swallow those.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _Watch:
    """The handler of those signals, which also keeps what has come of them.

    number: of the signal that came last, None before the first. depth: how many held() are open.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.depth = 0

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        self.number = number
        self.check()

    def check(self) -> None:
        """Raise Interrupted when a signal has come, unless it is held back."""
        if self.number is not None and not self.depth:
            raise Interrupted(self.number)


def _watch() -> _Watch | None:
    """The handler that watching() has installed; None outside of it.

    Signals belong to the process, so the process's table of handlers is where it is kept.
    """
    handlers = map(signal.getsignal, ENDING)
    return next((each for each in handlers if isinstance(each, _Watch)), None)


@contextlib.contextmanager
def watching() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP raise Interrupted for the length of a `with`, but for those that
    this process was started to ignore (nohup)."""
    watch = _Watch()
    wanted = [each for each in ENDING if signal.getsignal(each) is not signal.SIG_IGN]
    before = {each: signal.signal(each, watch) for each in wanted}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def check() -> None:
    """Raise Interrupted when a signal has come that ended nothing yet: it was held back, or
    raised where Python ignores exceptions."""
    if (watch := _watch()) is not None:
        watch.check()


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Signals that come inside the `with` raise Interrupted at its end."""
    watch = _watch()
    if watch is None:
        yield
        return
    before = watch.number
    watch.depth += 1
    try:
        yield
    finally:
        watch.depth -= 1
        if watch.number != before:
            watch.check()


class Undo(contextlib.ExitStack):
    """An ExitStack whose callbacks are all run, whatever signal comes meanwhile."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> bool:
        with held():
            try:
                return bool(super().__exit__(kind, error, trace))
            except Exception as failure:
                if isinstance(error, Interrupted):
                    raise error from failure  # it matters more than what failed meanwhile
                raise

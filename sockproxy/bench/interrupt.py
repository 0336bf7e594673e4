"""Ctrl-C and its kin: an exception where work is done, held back where it is undone."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType, TracebackType

__all__ = ["Interrupted", "Undo", "check", "held", "watching"]

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal asks us to end; `number` is its number.

    No Exception, as libraries swallow those.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _State:
    """Of this process, as signals are: the one that came, and how deep we are in undoing."""

    number: int | None = None
    depth = 0


@contextlib.contextmanager
def watching() -> Iterator[None]:
    """Those signals raise Interrupted, for the length of a `with`: but not what is ignored
    (nohup)."""
    _State.number, _State.depth = None, 0
    wanted = [each for each in ENDING if signal.getsignal(each) is not signal.SIG_IGN]
    before = {each: signal.signal(each, _handle) for each in wanted}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _handle(number: int, _frame: FrameType | None) -> None:
    _State.number = number
    if not _State.depth:
        raise Interrupted(number)


def check() -> None:
    """Raise Interrupted when a signal has come that nobody has heard of: it was held back, or
    raised where Python ignores exceptions."""
    if _State.number is not None and not _State.depth:
        raise Interrupted(_State.number)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Signals wait until the end of the `with`."""
    before = _State.number
    _State.depth += 1
    try:
        yield
    finally:
        _State.depth -= 1
        if _State.number != before:
            check()


class Undo(contextlib.ExitStack):
    """An ExitStack that no signal cuts short."""

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

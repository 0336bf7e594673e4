"""Turns of the loop, for a direction that moves much: others need not wait for all of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

__all__ = ["PARTS", "ROUNDS", "Turns"]

ROUNDS = 2  # of reading and writing, a part of a turn: then what is small is served
PARTS = 8  # of a turn: then other streams have theirs


class AskTheLoop(Protocol):
    """How a turn is had; again: to go on with it, after what is small."""

    def __call__(self, call: Callable[[], None], *, again: bool) -> None: ...


class Turns:
    """The turn that one direction has or has asked for.

    in_turn: asks the loop. run: what is to be done in each part of the turn.
    """

    __slots__ = ("_in_turn", "_parts", "_run", "asked")

    def __init__(self, in_turn: AskTheLoop, run: Callable[[], None]) -> None:
        self._in_turn, self._run = in_turn, run
        self.asked = False
        """Whether one has been asked for, and has not come."""
        self._parts = 0  # had of this turn

    def ask(self, *, again: bool = False) -> None:
        """Run when the turn comes. Twice is allowed."""
        if not self.asked:
            self.asked = True
            self._in_turn(self._have, again=again)

    def go_on(self) -> None:
        """A part of the turn was not enough: have the next one, or the next turn."""
        self._parts = (self._parts + 1) % PARTS
        self.ask(again=self._parts > 0)

    def _have(self) -> None:
        self.asked = False
        self._run()

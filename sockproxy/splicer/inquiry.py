"""Asks doctor about a mechanism in the background of a loop, until it is known."""

from __future__ import annotations

import select
import signal
from collections.abc import Callable
from functools import partial

from sockproxy.proof.ask import known_proof, learn
from sockproxy.proof.examination import ENOUGH, TIDY, Examination
from sockproxy.proof.mechanisms import together
from sockproxy.proof.proof import Proof
from sockproxy.worker.door import Loop, Timer

__all__ = ["Backoff", "Inquiry"]

FIRST, LONGEST = 1.0, 60.0  # seconds between two tries


class Backoff:
    """Seconds to wait before the next try: twice as many each time, up to a minute."""

    def __init__(self) -> None:
        self._next = FIRST

    def next(self) -> float:
        """How long now."""
        seconds, self._next = self._next, min(2 * self._next, LONGEST)
        return seconds


class Inquiry:
    """All methods belong to the loop's thread, or come before it runs.

    found: called once, when it is known.
    undecided: called when a doctor has ended without finding out: why, and after how many
        seconds the next one is asked.
    told: receives doctor's lines for people.
    """

    def __init__(
        self,
        loop: Loop,
        mechanism: str,
        *,
        found: Callable[[Proof], None],
        undecided: Callable[[str, float], None],
        told: Callable[[str], None],
    ) -> None:
        self._loop, self._mechanism = loop, mechanism
        self._found, self._undecided, self._told = found, undecided, told
        self._is_known = False
        self._backoff = Backoff()
        self._examination: Examination | None = None
        self._timer: Timer | None = None

    def begin(self) -> None:
        """Tell what is known; where nothing is, ask as soon as the loop runs."""
        self._look()
        if not self._is_known:
            # Not here: a doctor ends with the thread that has started it.
            self._timer = self._loop.later(0, self._ask)

    def _look(self) -> None:
        proof = known_proof(self._mechanism)
        if proof is not None and proof.known and not self._is_known:
            self._is_known = True
            self._found(proof)

    def _ask(self) -> None:
        self._look()  # another process may have found out
        if self._is_known:
            return
        try:
            self._examination = examination = Examination(together(self._mechanism))
        except OSError as error:
            self._try_again(f"doctor cannot be started: {error.strerror}")
            return
        self._loop.watch(examination.said, select.EPOLLIN, self._on_words)
        self._loop.watch(examination.ended, select.EPOLLIN, self._on_end)
        self._timer = self._loop.later(ENOUGH, partial(self._too_long, examination))

    def _too_long(self, examination: Examination) -> None:
        """It has to end. Nobody waits for that here: `ended` tells it."""
        examination.send_signal(signal.SIGTERM)
        kill = partial(examination.send_signal, signal.SIGKILL)
        self._timer = self._loop.later(TIDY, kill)

    def _on_words(self, events: int) -> None:
        assert self._examination is not None
        for said in self._examination.hear():
            learn(said.proofs)
            if said.told:
                self._told(said.told)
        if events & select.EPOLLHUP:  # which would come for ever now
            self._loop.unwatch(self._examination.said)
        self._look()

    def _on_end(self, _events: int) -> None:
        self._on_words(0)
        assert self._examination is not None
        why = self._examination.why_no_answer()
        self.close()
        if not self._is_known:
            proof = known_proof(self._mechanism)
            self._try_again(proof.why_not if proof is not None else f"doctor: {why}")

    def _try_again(self, why: str) -> None:
        seconds = self._backoff.next()
        self._timer = self._loop.later(seconds, self._ask)
        self._undecided(why, seconds)

    def close(self) -> None:
        """Ask no more, and end the doctor that runs. Twice is allowed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._examination is not None:
            examination, self._examination = self._examination, None
            self._loop.unwatch(examination.said)
            self._loop.unwatch(examination.ended)
            examination.close()

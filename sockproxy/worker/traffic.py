"""Which bytes the kernel should move: those of a conversation, not those of a stream.

A redirect saves user space a wake-up for each burst, but the kernel queues and sends
every skb by itself. splice(2) moves whatever has queued up in one go. So requests and
responses are redirected, and a stream, which keeps its reader awake anyway, is pumped.
"""

from __future__ import annotations

import time

__all__ = ["SMALL", "STREAM", "Traffic"]

SMALL = 64 * 1024  # bytes of a burst, as a request or a response has them
STREAM = 1 << 20  # bytes by PUMP, of what has not become a conversation by then
FEW, MANY = 4, 256  # answered bursts that make a conversation; MANY after many holds
SHORTEST_REST, LONGEST_REST = 0.002, 1.0  # seconds in PUMP after a hold
QUIET = 1.0  # a direction not held for so long is trusted again


class Traffic:
    """What one direction carries, judged by the bursts that the pump saw.

    eager: True to redirect whatever comes, for measurements and tests.
    """

    __slots__ = ("_answers", "_needed", "_rest", "_rested_at", "_seen", "_started_at", "eager")

    def __init__(self, *, eager: bool) -> None:
        self.eager = eager
        self._needed = FEW
        self._seen = 0
        self._answers = -1
        self._rest = SHORTEST_REST
        self._rested_at = self._started_at = 0.0

    def burst(self, size: int, answers: int) -> bool:
        """The pump moved `size` bytes, and then its source was empty; as suits_redirect().

        answers: bytes that have gone the other way. A burst counts when some went since
        the last that counted: a stream's bursts are small too when the pump is quick.
        """
        if size > SMALL:
            self._seen = 0
        elif answers != self._answers:
            self._answers = answers
            self._seen += 1
        return self.suits_redirect()

    def started(self) -> None:
        """The kernel moves the bytes from here."""
        self._started_at = time.monotonic()

    def held(self) -> None:
        """The reader did not keep up with what the kernel moved: wait longer next time."""
        now = time.monotonic()
        trusted = now - self._started_at >= QUIET
        self._needed = FEW if trusted else min(2 * self._needed, MANY)
        self._rest = SHORTEST_REST if trusted else min(2 * self._rest, LONGEST_REST)
        self._rested_at = now + self._rest
        self._seen = 0

    def suits_redirect(self) -> bool:
        """Whether the kernel should move what comes next."""
        return self.eager or self._seen >= self._needed

    def rest(self) -> float:
        """Seconds until the rest after a hold is over; zero or less when it is."""
        return self._rested_at - time.monotonic()

    def retry_after(self) -> float:
        """Seconds until both directions may be quiet, where they were not just now."""
        return self._rest

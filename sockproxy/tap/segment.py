"""What a capture is made of, wherever it was tapped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Segment", "Source"]


@dataclass(frozen=True, slots=True)
class Segment:
    """What one packet of a capture says.

    when: CLOCK_MONOTONIC, seconds. number: the sequence number of the first byte. flags, window: as
    the header of TCP has them. comment: how it went.
    """

    when: float
    source: tuple[str, int]
    target: tuple[str, int]
    number: int
    acknowledged: int
    flags: int
    window: int
    comment: str
    data: bytes


class Source(Protocol):
    """What is tapped, until close(). GONE: what is told where there will be no more."""

    GONE: str

    def take(self, *, everything: bool) -> Iterator[Segment]:
        """What was copied since, in portions, or all until now."""

    def is_there(self) -> bool:
        """Whether there may be more."""

    @property
    def lost(self) -> int:
        """How many there was no memory for so far."""

    def close(self) -> None:
        """Twice is allowed."""

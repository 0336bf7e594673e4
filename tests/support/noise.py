"""Bytes of a stream that any part of can be made again, without the rest."""

from __future__ import annotations

import random

NOISE = random.Random(1).randbytes(1_000_003)


def pattern(offset, count):
    """The bytes at `offset` of an endless stream that repeats with a prime period."""
    start = offset % len(NOISE)
    return (NOISE[start:] + NOISE * (count // len(NOISE) + 1))[:count]

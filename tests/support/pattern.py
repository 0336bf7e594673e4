"""Bytes that say where in which stream they belong."""

from __future__ import annotations

import random

PERIOD = 1_000_003  # a prime: no block size of TCP, pipes or pages divides it
STAMP_EVERY = 4096
NOISE = random.Random(7).randbytes(PERIOD) * 3


class IntegrityError(AssertionError):
    """A byte was lost, repeated, moved or changed."""


class Pattern:
    """An endless stream: noise of a prime period, and a stamp of the absolute offset and
    the seed in the first 16 bytes of every 4096, so that nothing repeats."""

    def __init__(self, seed):
        self.seed = seed
        self._shift = seed * 7919

    def at(self, offset, count):
        """The `count` bytes (at most 1 MiB) at `offset`."""
        start = (offset + self._shift) % PERIOD
        block = bytearray(NOISE[start : start + count])
        first = -offset % STAMP_EVERY
        if first > STAMP_EVERY - 16:  # a stamp that began before this block
            self._stamp(block, first - STAMP_EVERY, offset)
        for place in range(first, count, STAMP_EVERY):
            self._stamp(block, place, offset)
        return bytes(block)

    def _stamp(self, block, place, offset):
        stamp = (offset + place).to_bytes(8, "big") + self.seed.to_bytes(8, "big")
        begin, end = max(place, 0), min(place + 16, len(block))
        if begin < end:
            block[begin:end] = stamp[begin - place : end - place]


class Checker:
    """Compares what arrives with a pattern, from its first byte on."""

    def __init__(self, seed):
        self.offset = 0
        self._pattern = Pattern(seed)

    def feed(self, data):
        """The next bytes of the stream. Raises IntegrityError."""
        expected = self._pattern.at(self.offset, len(data))
        if data != expected:
            wrong = next(
                i for i, pair in enumerate(zip(data, expected, strict=True)) if pair[0] != pair[1]
            )
            raise IntegrityError(
                f"stream {self._pattern.seed}: wrong from byte {self.offset + wrong} on: "
                f"{self._diagnose(data[wrong : wrong + 3 * STAMP_EVERY])}"
            )
        self.offset += len(data)

    def _diagnose(self, data):
        """Where the bytes belong, by the stamp that they hold."""
        seed = self._pattern.seed.to_bytes(8, "big")
        place = data.find(seed, 8)
        if place < 0:
            return "bytes of no stream, or of another"
        found = int.from_bytes(data[place - 8 : place], "big") - (place - 8)
        return f"bytes that belong to {found}"

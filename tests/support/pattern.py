"""Bytes that say where in which stream they belong."""

from __future__ import annotations

import random
import struct

PERIOD = 1_000_003  # a prime: no block size of TCP, pipes or pages divides it
STAMP_EVERY = 4096
STAMP = struct.Struct(">QQ")  # absolute offset, seed
NOISE = random.Random(7).randbytes(PERIOD) * 3
# Compared at a time: fits the caches, and its buffer comes from the heap, not from mmap.
PIECE = 64 * 1024


class IntegrityError(AssertionError):
    """A byte was lost, repeated, moved or changed.

    Where a stream's content is wrong, `offset` is the place of the first wrong byte and
    `expected` and `got` are some bytes from there on; else they are None.
    """

    def __init__(self, message, offset=None, expected=None, got=None):
        super().__init__(message)
        self.offset, self.expected, self.got = offset, expected, got


class Pattern:
    """An endless stream: noise of a prime period, and a stamp of the absolute offset and
    the seed in the first 16 bytes of every 4096, so that nothing repeats."""

    def __init__(self, seed):
        self.seed = seed
        self._shift = seed * 7919

    def at(self, offset, count):
        """The `count` bytes (at most 1 MiB) at `offset`."""
        return bytes(self.block(offset, count))

    def block(self, offset, count):
        """As `at`, in a bytearray, which compares fast with any kind of buffer."""
        start = (offset + self._shift) % PERIOD
        block = bytearray(memoryview(NOISE)[start : start + count])
        place = -offset % STAMP_EVERY
        if place > STAMP_EVERY - STAMP.size:  # a stamp that began before this block
            self._stamp(block, place - STAMP_EVERY, offset)
        while place <= count - STAMP.size:
            STAMP.pack_into(block, place, offset + place, self.seed)
            place += STAMP_EVERY
        self._stamp(block, place, offset)
        return block

    def _stamp(self, block, place, offset):
        """The part that lies in `block` of the stamp at `place`, which may be outside."""
        begin, end = max(place, 0), min(place + STAMP.size, len(block))
        if begin < end:
            stamp = STAMP.pack(offset + place, self.seed)
            block[begin:end] = stamp[begin - place : end - place]

    def locate(self, data, near):
        """The offset that `data` belongs to; None if it is not of this stream.

        A stamp in `data` tells it. Without one the noise does, up to whole periods, and the
        offset nearest to `near` is taken.
        """
        place = data.find(self.seed.to_bytes(8, "big"), 8)
        if place >= 0:
            found = int.from_bytes(data[place - 8 : place], "big") - (place - 8)
            return found if found >= 0 else None
        if len(data) < 8:  # too little to tell it from chance
            return None
        place = NOISE.find(data[:64])
        if place < 0:
            return None
        residue = (place - self._shift - near) % PERIOD
        if residue > PERIOD // 2 and near + residue >= PERIOD:
            residue -= PERIOD
        return near + residue


class Checker:
    """Compares what arrives with a pattern, from its first byte on."""

    def __init__(self, seed):
        self.offset = 0
        self._pattern = Pattern(seed)

    def feed(self, data):
        """The next bytes of the stream, any buffer. Raises IntegrityError."""
        view = memoryview(data)
        for start in range(0, len(view), PIECE):
            piece = view[start : start + PIECE]
            if self._pattern.block(self.offset, len(piece)) != piece:
                self._fail(bytes(view[start:]))
            self.offset += len(piece)

    def _fail(self, got):
        """Raise for `got`, which begins at self.offset and has a wrong byte in its first piece."""
        got = got[: 3 * PIECE]  # enough to see a stamp, and where the damage ends
        expected = self._pattern.at(self.offset, len(got))
        wrong = [place for place, byte in enumerate(got) if byte != expected[place]]
        first, last = wrong[0], wrong[-1]
        at = self.offset + first
        here, due = got[first:], expected[first:]
        if last + STAMP.size < len(got):  # what follows stands where it belongs
            what = f"{len(wrong)} bytes up to {self.offset + last} differ, what follows is right"
            origin = self._pattern.locate(here[: last - first + 1], at)
            if origin is not None:
                what = f"bytes that belong to {origin} moved here; {what}"
        else:
            what = self._displaced(here, at)
        raise IntegrityError(
            f"stream {self._pattern.seed}: wrong from byte {at} on: {what}; "
            f"expected {due[:16].hex()}, got {here[:16].hex()}",
            at, due[:16], here[:16],
        )  # fmt: skip

    def _displaced(self, data, at):
        """What became of a stream that goes on with `data` at `at`."""
        origin = self._pattern.locate(data, at)
        if origin is None:
            return "bytes of no stream, or of another"
        what = f"bytes that belong to {origin}"
        if origin > at:
            return f"{what}, {origin - at} bytes lost or moved"
        return f"{what}, repeated from {at - origin} bytes before"

"""A ring buffer that BPF programs write records into, and this process reads (native/ring.c)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sockproxy import native
from sockproxy.bpf.library import failure, ffi, for_native

__all__ = ["PORTION", "Ring"]

HEAD = 8  # bytes before each record: BPF_RINGBUF_HDR_SZ
PORTION = 4096
"""Records that one who has other things to do takes at once."""
BATCH = 512  # records that are copied at once


class Ring:
    """Makes one with room for so many records of the C type `record`. Raises KernelError."""

    def __init__(self, record: str, records: int) -> None:
        self._lib = native.load_native()
        self._size = int(ffi.sizeof(record))
        self._batch = ffi.new(f"{record}[]", BATCH)
        self._ring = native.ffi.new("struct ring *")
        result = self._lib.open_ring(self._ring, records, self._size)
        if result < 0:
            raise failure("make a ring buffer", -result)

    @classmethod
    def of_size(cls, record: str, size: int) -> Ring:
        """One of so many bytes. Raises KernelError."""
        return cls(record, max(1, size // (ffi.sizeof(record) + HEAD)))

    @property
    def fd(self) -> int:
        """The map's file descriptor."""
        return int(self._ring.fd)

    def take(self, most: int | None = None) -> Iterator[Any]:
        """What was written until now, or the first so many of it: cdata of each record, which the
        next step may overwrite."""
        place, until = for_native(self._batch), self._ring.producer[0]
        while most is None or most > 0:
            wanted = BATCH if most is None else min(most, BATCH)
            taken = self._lib.take_records(self._ring, place, self._size, wanted, until)
            for number in range(taken):
                yield self._batch[number]
            if taken < wanted:
                return
            if most is not None:
                most -= taken

    def close(self) -> None:
        """Twice is allowed."""
        self._lib.close_ring(self._ring)

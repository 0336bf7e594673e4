"""The consumer of a BPF ring buffer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sockproxy.bpf.library import check, failure, ffi, load_library
from sockproxy.bpf.map import Map

__all__ = ["RingBuffer"]


class RingBuffer:
    """Calls `receive` with a pointer to each record of type `ctype`."""

    def __init__(self, source: Map, ctype: str, receive: Callable[[Any], None]) -> None:
        self._lib = load_library()
        pointer_type = f"{ctype} *"

        def callback(_context: Any, data: Any, _size: int) -> int:
            receive(ffi.cast(pointer_type, data))
            return 0

        self._callback = ffi.callback("ring_buffer_sample_fn", callback)
        self._pointer = self._lib.ring_buffer__new(source.fd, self._callback, ffi.NULL, ffi.NULL)
        if not self._pointer:
            raise failure(f"read the ring buffer {source.name}", ffi.errno)

    def fileno(self) -> int:
        """A descriptor that polls readable while there are records."""
        return int(self._lib.ring_buffer__epoll_fd(self._pointer))

    def consume(self) -> int:
        """Receive all records that are there, without waiting; how many."""
        return check(self._lib.ring_buffer__consume(self._pointer), "read the ring buffer")

    def close(self) -> None:
        """Unmap the buffer. Closing twice is allowed."""
        if self._pointer is not None:
            self._lib.ring_buffer__free(self._pointer)
            self._pointer = None

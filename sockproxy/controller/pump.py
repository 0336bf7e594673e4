"""Moves bytes from socket to socket with splice(2): no byte enters this process."""

from __future__ import annotations

import fcntl
import os

__all__ = ["Pipes", "Pump"]

F_SETPIPE_SZ = 1031
PIPE_BYTES = 256 * 1024  # slots for 64 pages; a slot can hold a fragment of up to 32 KiB
FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
SPARE_PIPES = 64


class Pipes:
    """Empty pipes, kept for the next pump: most pumps run for a moment."""

    def __init__(self) -> None:
        self._spare: list[tuple[int, int]] = []
        self._sink: int | None = None

    def sink(self) -> int:
        """A descriptor that swallows whatever is written to it."""
        if self._sink is None:
            self._sink = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        return self._sink

    def take(self) -> tuple[int, int]:
        """An empty pipe as (read end, write end)."""
        if self._spare:
            return self._spare.pop()
        ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            fcntl.fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES)
        except OSError:
            pass  # over pipe-user-pages-soft: the size that it has will do
        return ends

    def give_back(self, ends: tuple[int, int], *, empty: bool) -> None:
        """Return a pipe; one with bytes in it is closed, and they with it."""
        if empty and len(self._spare) < SPARE_PIPES:
            self._spare.append(ends)
        else:
            os.close(ends[0])
            os.close(ends[1])

    def close(self) -> None:
        """Close all spare pipes."""
        while self._spare:
            self.give_back(self._spare.pop(), empty=False)
        if self._sink is not None:
            os.close(self._sink)
            self._sink = None


class Pump:
    """One direction's bytes in user space's care: at most `limit` of them in a pipe.

    ahead: bytes that were read from the source already; they go first.
    """

    __slots__ = (
        "_ahead",
        "_limit",
        "_pipe",
        "_pipes",
        "_sink",
        "_source",
        "_target",
        "at_end",
        "discarded",
        "held",
        "moved",
    )

    def __init__(
        self, pipes: Pipes, source: int, target: int, limit: int, ahead: bytes = b""
    ) -> None:
        self._pipes = pipes
        self._source, self._target = source, target
        self._limit = limit
        self._ahead = memoryview(ahead)
        self._pipe: tuple[int, int] | None = None
        self.held = 0
        """Bytes read and not yet written."""
        self.moved = 0
        """Bytes written to the target, ever."""
        self.discarded = 0
        """Bytes thrown away since discard_from_now()."""
        self._sink: int | None = None
        self.at_end = False
        """The source's FIN was read; nothing follows."""

    @property
    def has_more(self) -> bool:
        """Whether bytes that were read from the source already wait to be moved."""
        return len(self._ahead) > 0

    def run(self, rounds: int) -> bool:
        """Read and write until one end blocks or `rounds` are done; True when the latter.

        Raises OSError as splice(2) does: either end was reset.
        """
        for _ in range(rounds):
            if self.held == 0 and (self.at_end or not self._read()):
                return False
            if self.held and not self._write():
                return False
        return True

    def _read(self) -> bool:
        """Fill the pipe; False when nothing is there or nothing will come."""
        if self._pipe is None:
            self._pipe = self._pipes.take()
        if self._ahead:
            self.held = os.write(self._pipe[1], self._ahead[: self._limit])
            self._ahead = self._ahead[self.held :]
            return True
        try:
            self.held = os.splice(self._source, self._pipe[1], self._limit, flags=FLAGS)
        except BlockingIOError:
            self._put_pipe_away()
            return False
        if self.held == 0:
            self.at_end = True
            self._put_pipe_away()
        return self.held > 0

    def _write(self) -> bool:
        """Empty the pipe as far as the target takes it; False when it is full."""
        assert self._pipe is not None
        target = self._target if self._sink is None else self._sink
        try:
            written = os.splice(self._pipe[0], target, self.held, flags=FLAGS)
        except BlockingIOError:
            return False
        self.held -= written
        if self._sink is None:
            self.moved += written
        else:
            self.discarded += written
        return True

    def discard_from_now(self) -> None:
        """Read on, and throw away all that has not been written yet."""
        if self._sink is None:
            self._sink = self._pipes.sink()

    def close(self) -> None:
        """Give the pipe up, with what it holds."""
        if self._pipe is not None:
            self._pipes.give_back(self._pipe, empty=self.held == 0)
            self._pipe = None

    def _put_pipe_away(self) -> None:
        assert self._pipe is not None
        self._pipes.give_back(self._pipe, empty=True)
        self._pipe = None

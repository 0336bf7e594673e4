"""Moves bytes from socket to socket with splice(2): no byte enters this process."""

from __future__ import annotations

import fcntl
import os
import socket

from sockproxy.net.tcp import at_urgent_mark
from sockproxy.worker.descriptors import SHORTAGE
from sockproxy.worker.table import DirectionRow

__all__ = ["Pipes", "Pump"]

F_SETPIPE_SZ = 1031
PIPE_BYTES = 256 * 1024  # slots for 64 pages; a slot can hold a fragment of up to 32 KiB
FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
SPARE_PIPES = 64
COPIED = 64 * 1024  # bytes at a time, without a pipe


class Pipes:
    """Empty pipes, kept for the next pump: most pumps run for a moment.

    most: how many there may be at once; None for as many as the system gives.
    sink: a descriptor that swallows whatever is written to it; opened now, when it can be.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._count = 0
        self._spare: list[tuple[int, int]] = []
        self.sink = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)

    def take(self) -> tuple[int, int] | None:
        """An empty pipe as (read end, write end); None when there is none to be had now."""
        if self._spare:
            return self._spare.pop()
        if self._count == self._most:
            return None
        try:
            ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in SHORTAGE:
                return None
            raise
        self._count += 1
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
            self._count -= 1
            os.close(ends[0])
            os.close(ends[1])

    def close(self) -> None:
        """Close the sink and all spare pipes. Once."""
        while self._spare:
            self.give_back(self._spare.pop(), empty=False)
        os.close(self.sink)


class Pump:
    """One direction's bytes in user space's care: at most `limit` of them in a pipe.

    Where no pipe is to be had they are copied, a little at a time: to wait for a pipe would be
    to wait for the readers of other connections, who may never read.

    An urgent byte is read by itself and sent as one, so that its mark stays where it was: splice(2)
    reads up to it, and no further. Where bytes are copied it may go as one of them.

    row: where the bytes are counted.
    ahead: bytes that were read from the source already; they go first.
    """

    __slots__ = (
        "_ahead",
        "_is_urgent",
        "_limit",
        "_pipe",
        "_pipes",
        "_row",
        "_sink",
        "_source",
        "_target",
        "at_end",
        "failure",
        "held",
        "urgent_waits",
    )

    def __init__(
        self,
        pipes: Pipes,
        source: socket.socket,
        target: socket.socket,
        limit: int,
        row: DirectionRow,
        ahead: bytes = b"",
    ) -> None:
        self._pipes = pipes
        self._source, self._target = source.fileno(), target
        self._limit, self._row = limit, row
        self._ahead = memoryview(ahead)
        self._pipe: tuple[int, int] | None = None
        self.held = 0
        """Bytes read and not yet written."""
        self._sink: int | None = None
        self.at_end = False
        """All that the source will ever give was read."""
        self.failure = 0
        """The errno that the source ended with; 0 for a FIN."""
        self.urgent_waits = False
        """An urgent byte has arrived (EPOLLPRI): look whether it is the next one."""
        self._is_urgent = False  # what is held is one

    @property
    def has_more(self) -> bool:
        """Whether bytes that were read from the source already wait to be moved."""
        return len(self._ahead) > 0

    def run(self, rounds: int) -> bool:
        """Read and write until one end blocks or `rounds` are done; True when the latter.

        Raises OSError as splice(2) does: the target was reset.
        """
        for _ in range(rounds):
            if self.held == 0 and (self.at_end or not self._read()):
                return False
            if self.held and not self._write():
                return False
        return True

    def _read(self) -> bool:
        """Fill the pipe; False when nothing is there or nothing will come."""
        if self._ahead:
            self.held = min(len(self._ahead), self._limit)
            return True
        if self._pipe is None:
            self._pipe = self._pipes.take()
        try:
            if self.urgent_waits and at_urgent_mark(self._source):
                self._copy(1, urgent=True)
            elif self._pipe is None:
                self._copy(min(COPIED, self._limit))
            else:
                self.held = os.splice(self._source, self._pipe[1], self._limit, flags=FLAGS)
                if not self.held:
                    # It is at its end, or at the mark with a FIN behind it: read(2) tells which.
                    self._copy(1, urgent=True)
            self.at_end = not self.held
        except BlockingIOError:
            pass
        except OSError as error:
            # The source has failed. splice(2) tells it once: behind the last byte, or before an
            # urgent one that is still to be read (tcp_splice_read()).
            self.failure = self.failure or error.errno or 0
            self.at_end = not self._read_past_mark()
        if not self.held or self._ahead:
            self._put_pipe_away()
        return self.held > 0

    def _read_past_mark(self) -> bool:
        """Read the urgent byte, if a source that has failed stands before it."""
        try:
            if at_urgent_mark(self._source):
                self._copy(1, urgent=True)
        except OSError:
            pass  # nor does recv(2) give more
        return self.held > 0

    def _copy(self, count: int, *, urgent: bool = False) -> None:
        """Read so many bytes at most without a pipe; an urgent one by itself."""
        copied = os.read(self._source, count)
        self._ahead, self.held = memoryview(copied), len(copied)
        if urgent:
            self._is_urgent, self.urgent_waits = self.held > 0, False

    def _write(self) -> bool:
        """Write as much of what is held as the target takes; False when it is full."""
        target = self._target.fileno() if self._sink is None else self._sink
        try:
            if self._is_urgent and self._sink is None:
                written = self._target.send(self._ahead[:1], socket.MSG_OOB | socket.MSG_DONTWAIT)
                self._ahead = self._ahead[written:]
            elif self._ahead:
                written = os.write(target, self._ahead[: self.held])
                self._ahead = self._ahead[written:]
            else:
                assert self._pipe is not None
                written = os.splice(self._pipe[0], target, self.held, flags=FLAGS)
        except BlockingIOError:
            return False
        self.held -= written
        self._is_urgent = False
        if self._sink is None:
            self._row.pumped += written
        else:
            self._row.discarded += written
        return True

    def discard_from_now(self) -> None:
        """Read on, and throw away all that has not been written yet."""
        self._sink = self._pipes.sink

    def close(self) -> None:
        """Give the pipe up, with what it holds."""
        if self._pipe is not None:
            self._pipes.give_back(self._pipe, empty=self.held == 0)
            self._pipe = None

    def _put_pipe_away(self) -> None:
        if self._pipe is not None:
            self._pipes.give_back(self._pipe, empty=True)
            self._pipe = None

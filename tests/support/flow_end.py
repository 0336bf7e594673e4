"""One end of one connection of a flow: what to send when, what must arrive, how it ends."""

from __future__ import annotations

import random
import socket
import struct
import time

from tests.support.flow import HEADER, LARGEST_WRITE, MIXED
from tests.support.pattern import Checker, IntegrityError, Pattern

TURN = 1 << 20  # bytes that a connection may send before others have their turn
RESET = (ConnectionResetError, BrokenPipeError)  # EPIPE is a reset that came behind a FIN
BUFFER = memoryview(bytearray(1 << 20))


class WrongEnd(AssertionError):
    """A connection ended otherwise than TCP would have ended it."""


class End:
    """A non-blocking socket's side of a flow, driven by `readable` and `writable`.

    Both raise IntegrityError and WrongEnd. `outcome` is None until the end is done, then
    "eof", "reset" (the other end did that), "closed" or "resetter" (this one did).
    """

    def __init__(self, flow, role, sock, number=None):
        self.flow, self.role, self.sock, self.number = flow, role, sock, number
        self.sent = self.moved = 0
        self.outcome = None
        self.wakes = time.monotonic() + flow.pause  # reads nothing before
        self._pending = memoryview(b"")
        self._header = b""
        self._eof = self._shut = self._reset = False
        self._rate = flow.down_rate if role == "client" else flow.up_rate
        self._out, self._in = ("up", "down") if role == "client" else ("down", "up")
        self._checker = None
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if role == "client":
            self._identify(number)
            self._pending = memoryview(HEADER.pack(number, flow.seed, flow.kind))

    def _identify(self, number):
        self.number = number
        out, into = self.flow.seeds(self.role, number)
        self._pattern, self._checker = Pattern(out), Checker(into)
        self._rng = random.Random(out)

    @property
    def received(self):
        return self._checker.offset if self._checker else 0

    @property
    def wants_read(self):
        return not self._eof and time.monotonic() >= self.wakes

    @property
    def wants_write(self):
        if self._checker is None or self._shut or self._reset:
            return False
        return bool(self._pending) or self.sent < self.flow.allowed(self.role, self.received)

    def position(self):
        """Where it stands, in one line."""
        if self.wants_write:
            state = "sending"
        elif self._eof:
            state = "waiting to end"
        elif self.received == self.flow.total(self._in):
            state = "waiting for the end of the stream"
        else:
            state = "receiving"
        return (
            f"{self.role} {self.number}: sent {self.sent - len(self._pending)} of "
            f"{self.flow.total(self._out)}, received {self.received} of "
            f"{self.flow.total(self._in)}, {state}"
        )

    # -- sending ----------------------------------------------------------------------------

    def writable(self):
        """Send what may be sent, then end the stream if it is time to."""
        turn = self.moved + TURN
        try:
            while self.wants_write and self.moved < turn:
                if not self._pending:
                    self._next_write()
                count = self.sock.send(self._pending)
                self._pending = self._pending[count:]
                self.moved += count
        except BlockingIOError:
            return
        except RESET:
            # What had arrived before the reset is still to be read; the reset itself is told once.
            self._expect_reset()
        self._maybe_end()

    def _next_write(self):
        if self.flow.writes == MIXED:
            size = int(LARGEST_WRITE ** self._rng.random())
        else:
            size = self.flow.writes
        size = min(size, self.flow.allowed(self.role, self.received) - self.sent)
        self._pending = memoryview(self._pattern.at(self.sent, size))
        self.sent += size

    # -- receiving ----------------------------------------------------------------------------

    def readable(self):
        """Check what has arrived, and answer it if an answer is due."""
        most = self.flow.reads
        if self._rate:
            most = min(most, max(1, int(self._rate / 20)))
        try:
            count = self.sock.recv_into(BUFFER, min(most, len(BUFFER)))
        except BlockingIOError:
            return
        except RESET:
            self._expect_reset()
            self._finish_reset()
            return
        self.moved += count
        if self._rate:
            self.wakes = max(self.wakes, time.monotonic() - 0.1) + count / self._rate
        if count == 0:
            self._end_of_stream()
        else:
            self._take(BUFFER[:count])
        if self.outcome is None:
            self.writable()

    def _take(self, data):
        if self._checker is None:
            data = self._take_header(data)
        if self._checker is not None and data:
            due = self.flow.total(self._in)
            self._checker.feed(data)
            if self.received > due:
                raise IntegrityError(f"{self.position()}: bytes beyond the end of the stream")

    def _take_header(self, data):
        """The rest of `data` behind the header."""
        missing = HEADER.size - len(self._header)
        self._header += bytes(data[:missing])
        if len(self._header) == HEADER.size:
            number, seed, kind = HEADER.unpack(self._header)
            flow = self.flow
            if number >= flow.connections or (seed, kind) != (flow.seed, flow.kind):
                raise IntegrityError(f"no header of this flow: {self._header.hex()}")
            self._identify(number)
        return data[missing:]

    # -- ending ----------------------------------------------------------------------------------

    def _end_of_stream(self):
        self._eof = True
        if self._reset:
            self._finish_reset()
        elif self._checker is None and not self._header:
            self._done("empty")  # somebody looked whether the port answers
        elif self.received < self.flow.total(self._in) and not self._other_resets():
            raise IntegrityError(f"{self.position()}: the stream ended early")
        elif self._other_resets():
            raise WrongEnd(f"{self.position()}: end of stream where a reset was due")

    def _other_resets(self):
        return self.flow.end.endswith("-reset") and not self.flow.resets(self.role)

    def _expect_reset(self):
        if not self._other_resets():
            raise WrongEnd(f"{self.position()}: reset, where the end of the stream was due")
        self._reset = True

    def _finish_reset(self):
        if self.flow.whole_before_reset and self.received != self.flow.total(self._in):
            raise IntegrityError(f"{self.position()}: a reset before all had arrived")
        self._done("reset")

    def _maybe_end(self):
        """Shut down, close or reset if all is done that must come before."""
        if self._checker is None or self._pending or self._reset:
            return
        flow = self.flow
        all_sent = self.sent == flow.total(self._out)
        all_received = self.received == flow.total(self._in)
        if flow.resets(self.role):
            early = flow.reset_after is not None and self.sent >= flow.reset_after
            if early or (all_sent and all_received):
                linger = struct.pack("ii", 1, 0)
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self._done("resetter")
        elif not all_sent:
            return
        elif flow.closes(self.role):
            if all_received:
                self._done("closed")
        elif self._other_resets():
            return  # it holds its stream open until the reset comes
        elif self._eof or not flow.waits_for_end(self.role):
            self._shut_down()
            if self._eof:
                self._done("eof")

    def _shut_down(self):
        if self._shut:
            return
        self._shut = True
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            # ENOTCONN: the other end has closed and its answer to our last bytes was a reset.
            # Right only behind an end of stream, and that was checked.
            if not self._eof:
                raise

    def _done(self, outcome):
        self.outcome = outcome
        self.sock.close()

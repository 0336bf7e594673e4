"""One socket of a pair."""

from __future__ import annotations

import socket
import struct

from sockproxy.errors import SockproxyError
from sockproxy.kernel import SpliceKernel
from sockproxy.net.tcp import socket_cookie

__all__ = ["End"]

NO_LINGER = struct.pack("ii", 1, 0)


class End:
    """A connected, non-blocking TCP socket and its place in the sockmaps.

    slot is None for a socket that is not enrolled; `why_not` then says why.
    """

    __slots__ = (
        "_kernel",
        "cookie",
        "events",
        "fd",
        "fin_sent",
        "in_targets",
        "slot",
        "sock",
        "why_not",
    )

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.cookie = socket_cookie(sock)
        self.slot: int | None = None
        self.why_not: str | None = None
        self.events = 0
        self.fin_sent = False
        self.in_targets = False
        self._kernel: SpliceKernel | None = None

    def enrol(self, kernel: SpliceKernel) -> None:
        """Take the slot that sock_ops gave, or get one; on refusal note the reason."""
        self._kernel = kernel
        self.slot = kernel.find(self.cookie)
        if self.slot is None:
            try:
                self.slot = kernel.enrol(self.fd, self.cookie)
            except SockproxyError as error:
                self.why_not = str(error)
        self.in_targets = self.slot is not None

    def leave(self) -> None:
        """Leave the sockmaps; what was redirected to the socket and not sent is lost."""
        if self.slot is not None and self._kernel is not None:
            self._kernel.release(self.slot, self.cookie)
            self.slot, self.in_targets = None, False

    def send_fin(self) -> None:
        """End our sending; a peer that is gone already has been told otherwise."""
        self.fin_sent = True
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # ENOTCONN: reset meanwhile, which the error event tells

    def close(self, *, reset: bool) -> None:
        """Close the socket: with a RST, or after what was sent has arrived."""
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self.sock.close()

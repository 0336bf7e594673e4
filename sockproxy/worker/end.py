"""One socket of a pair, and what it has of the kernel."""

from __future__ import annotations

import socket

from sockproxy.bpf.abi import SharedDirection
from sockproxy.bpf.seam import Inspection, SpliceKernel
from sockproxy.errors import SockproxyError
from sockproxy.net.tcp import close_in_order, close_with_reset, socket_cookie, upper_protocol

__all__ = ["End"]


class End:
    """A connected, non-blocking TCP socket and its place in the sockmaps.

    slot is None for a socket that is not enrolled; `why_not` then says why.
    """

    __slots__ = (
        "_kernel",
        "cookie",
        "failed",
        "fd",
        "fin_sent",
        "had_fin",
        "in_targets",
        "slot",
        "sock",
        "why_not",
    )

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.cookie = 0
        self.slot: int | None = None
        self.why_not: str | None = None
        self.fin_sent = False
        self.failed = ""
        """Why the connection has ended otherwise than by both FINs; "" while it has not."""
        self.had_fin = False
        """Whether it has failed behind its FIN, which its reader is told then."""
        self.in_targets = False
        self._kernel: SpliceKernel | None = None

    def enrol(self, kernel: SpliceKernel) -> None:
        """Have a slot; on refusal note the reason."""
        if protocol := upper_protocol(self.sock):
            # Kernels before 54a3ecaeeeae crash on TLS in a sockmap; not all refuse it.
            self.why_not = f"the kernel speaks {protocol} on it"
            return
        self._kernel = kernel
        self.cookie = socket_cookie(self.sock)
        try:
            self.slot = kernel.enrol(self.sock, self.cookie)
        except SockproxyError as error:
            self.why_not = str(error)
        self.in_targets = self.slot is not None

    def direction(self) -> SharedDirection:
        """The struct direction of the bytes that come from this socket, which has a slot."""
        kernel, slot = self._place()
        return kernel.direction(slot)

    def start(self) -> None:
        """Let the kernel take its bytes. Raises SockproxyError."""
        kernel, slot = self._place()
        kernel.start(slot, self.fd)

    def stop(self) -> None:
        """Take its bytes back from the kernel (rule 1 of sockproxy.worker.direction)."""
        if self.slot is not None and self._kernel is not None:
            self._kernel.stop(self.slot)

    def renew(self) -> bool:
        """Have a new psock; False while the old one is in use.

        Raises SockproxyError when it never will: it is out of the sockmaps then.
        """
        kernel, slot = self._place()
        try:
            return kernel.renew(slot, self.fd)
        except SockproxyError:
            self.in_targets = False
            raise

    def inspect(self) -> Inspection | None:
        """What the kernel sees of it; None when it has no slot, or was reset."""
        if self.slot is None or self._kernel is None:
            return None
        return self._kernel.inspect(self.slot)

    def _place(self) -> tuple[SpliceKernel, int]:
        assert self._kernel is not None
        assert self.slot is not None
        return self._kernel, self.slot

    def fail(self, why: str, *, had_fin: bool | None) -> None:
        """It has failed. had_fin: what its error says; None where its FIN is to be told as a RST.

        The error may say EPIPE although no FIN has come: if the kernel was sending redirected
        bytes, sk_psock_backlog() may have taken what tcp_reset() had left, and the next send got
        EPIPE. So the socket is asked, where it has a slot.
        """
        self.failed = why
        seen = None if had_fin is None else self.inspect()
        self.had_fin = bool(had_fin) if seen is None else seen.had_fin

    def leave(self) -> None:
        """Leave the sockmaps; what was redirected to the socket and not sent is lost."""
        if self.slot is not None and self._kernel is not None:
            self._kernel.release(self.slot, self.cookie)
            self.slot, self.in_targets = None, False

    def send_fin(self) -> None:
        """End our sending; a peer that is gone already has been told otherwise."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return  # ENOTCONN: reset meanwhile, which the direction out of it tells
        self.fin_sent = True

    def close(self, *, reset: bool) -> None:
        """Leave, and close the socket: with a RST, or after what was sent has arrived."""
        self.leave()
        if reset:
            close_with_reset(self.sock)
        else:
            close_in_order(self.sock)

"""From an accepted client to a connected upstream."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Callable, Collection

from sockproxy.net.address import Address
from sockproxy.worker.descriptors import SHORTAGE, SHORTAGE_PAUSE
from sockproxy.worker.door import Loop

__all__ = ["Attempts", "Connector"]

RESET_SINCE = (errno.ECONNRESET, errno.EPIPE)
"""Of a connection that was made: tcp_reset() says ECONNREFUSED where it was not."""


class Attempts:
    """What a Connector tells of each attempt; to be overridden: here it only closes sockets."""

    def prepare(self, sock: socket.socket, address: Address) -> None:
        """Before the connection is begun."""

    def begun(self, sock: socket.socket, address: Address) -> None:
        """The socket has its local address, and may be connected at any moment."""

    def failed(self, address: Address, number: int) -> None:
        """It could not be: the errno, ETIMEDOUT for the Connector's own time-out."""

    def discard(self, sock: socket.socket) -> None:
        """Close a socket whose attempt is over."""
        sock.close()


class Connector:
    """Tries one address after another, each for at most `timeout` seconds.

    Stands before the worker's door: it needs the loop alone, and what it connects is paired later.

    candidates: gives the next address, told those that were tried; None when there is none.
    Calls `connected(sock)` with a non-blocking socket, or `failed(why)`; one of them,
    once, unless cancelled.
    """

    def __init__(
        self,
        loop: Loop,
        candidates: Callable[[Collection[Address]], Address | None],
        timeout: float,
        *,
        connected: Callable[[socket.socket], None],
        failed: Callable[[str], None],
        attempts: Attempts,
    ) -> None:
        self._loop = loop
        self._candidates = candidates
        self._timeout = timeout
        self._connected, self._failed = connected, failed
        self._attempts = attempts
        self._tried: list[Address] = []
        self._sock: socket.socket | None = None
        self._timer = loop.later(0, lambda: None)

    def start(self, why: str = "nowhere to connect to") -> None:
        """Try the next candidate; `why` is told when there is none."""
        address = self._candidates(self._tried)
        if address is None:
            self._failed(why)
            return
        self._attempt(address)

    def _attempt(self, address: Address) -> None:
        self._tried.append(address)
        self._begin(address, time.monotonic() + self._timeout)

    def _begin(self, address: Address, until: float) -> None:
        """Connect; in a shortage, which lasts no longer than `until`, as soon as that can be."""
        try:
            sock = socket.socket(address.family, socket.SOCK_STREAM)
        except OSError as error:
            if error.errno in SHORTAGE and time.monotonic() < until:
                self._wait(address, until)
            else:
                self._failed(f"{address}: {_reason(error.errno or 0)}")
            return
        self._sock = sock
        sock.setblocking(False)
        self._attempts.prepare(sock, address)
        self._timer = self._loop.later(self._timeout, lambda: self._next(address, 0))
        number = _connect(sock, address)
        if number in SHORTAGE and time.monotonic() < until:
            self.cancel()
            self._wait(address, until)
            return
        if number not in (0, errno.EINPROGRESS):
            self._next(address, number)
            return
        self._attempts.begun(sock, address)
        if _is_connected(sock):
            self._on_answer(address)
            return
        try:
            self._loop.watch(
                sock.fileno(), select.EPOLLOUT, lambda _events: self._on_answer(address)
            )
        except OSError as error:
            self._next(address, error.errno or errno.ENOMEM)

    def _wait(self, address: Address, until: float) -> None:
        self._timer = self._loop.later(SHORTAGE_PAUSE, lambda: self._begin(address, until))

    def _on_answer(self, address: Address) -> None:
        sock = self._sock
        assert sock is not None
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number in RESET_SINCE:
            number = 0  # what it had sent before is still to be read
        if not number and _is_to_itself(sock):
            number = errno.ECONNREFUSED  # what it comes to
        if number:
            self._next(address, number)
            return
        self._timer.cancel()
        self._loop.unwatch(sock.fileno())
        self._sock = None
        self._connected(sock)

    def _next(self, address: Address, number: int) -> None:
        """number: the errno; 0 for our own time-out."""
        self.cancel()
        self._attempts.failed(address, number or errno.ETIMEDOUT)
        what = _reason(number) if number else f"no answer in {self._timeout:g} s"
        self.start(f"{address}: {what}")

    def pass_over(self, address: Address) -> None:
        """Wait for this one no longer, if there is another to try."""
        if self._sock is None or self._tried[-1] != address:
            return
        if (other := self._candidates(self._tried)) is not None:
            self.cancel()
            self._attempt(other)

    def cancel(self) -> None:
        """Give up the attempt under way, if any, and tell nobody."""
        self._timer.cancel()
        if self._sock is not None:
            self._loop.unwatch(self._sock.fileno())
            self._attempts.discard(self._sock)
            self._sock = None


def _connect(sock: socket.socket, address: Address) -> int:
    """Begin to; the errno."""
    try:
        return sock.connect_ex(address.sockaddr)
    except OSError:  # of connect_ex() itself, which resolves: the zone of the address has gone
        return errno.ENETUNREACH


def _is_connected(sock: socket.socket) -> bool:
    """Whether there is an answer already: on this host release_sock() in connect(2) finds it in
    the socket's backlog, after EINPROGRESS was decided upon (__inet_stream_connect())."""
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def _is_to_itself(sock: socket.socket) -> bool:
    """Whether the kernel chose the port connected to for the socket's own, and so TCP connected
    it to itself: nobody listens there."""
    try:
        return bool(sock.getsockname() == sock.getpeername())
    except OSError:
        return False  # reset meanwhile


def _reason(number: int) -> str:
    return os.strerror(number).lower()

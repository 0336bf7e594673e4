"""From an accepted client to a connected upstream."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable, Sequence

from sockproxy.controller.loop import EventLoop
from sockproxy.net.address import Address

__all__ = ["Connector"]


class Connector:
    """Tries `candidates` in turn, each for at most `timeout` seconds.

    Calls `connected(sock)` with a non-blocking socket, or `failed(why)`; one of them,
    once, unless cancelled.
    """

    def __init__(
        self,
        loop: EventLoop,
        candidates: Sequence[Address],
        timeout: float,
        *,
        connected: Callable[[socket.socket], None],
        failed: Callable[[str], None],
        prepare: Callable[[socket.socket, Address], None],
        discard: Callable[[socket.socket], None],
    ) -> None:
        self._loop = loop
        self._candidates = list(candidates)
        self._timeout = timeout
        self._connected, self._failed = connected, failed
        self._prepare, self._discard = prepare, discard
        self._sock: socket.socket | None = None
        self._timer = loop.later(0, lambda: None)

    def start(self) -> None:
        """Try the next candidate."""
        address = self._candidates.pop(0)
        try:
            sock = socket.socket(address.family, socket.SOCK_STREAM)
        except OSError as error:
            self._failed(f"{address}: {_reason(error.errno or 0)}")
            return
        self._sock = sock
        sock.setblocking(False)
        self._prepare(sock, address)
        self._timer = self._loop.later(
            self._timeout, lambda: self._next(f"{address}: no answer in {self._timeout:g} s")
        )
        number = sock.connect_ex(address.sockaddr)
        if number not in (0, errno.EINPROGRESS):
            self._next(f"{address}: {_reason(number)}")
            return
        self._loop.watch(sock.fileno(), select.EPOLLOUT, lambda _events: self._on_event(address))

    def _on_event(self, address: Address) -> None:
        sock = self._sock
        assert sock is not None
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._next(f"{address}: {_reason(number)}")
            return
        self._timer.cancel()
        self._loop.unwatch(sock.fileno())
        self._sock = None
        self._connected(sock)

    def _next(self, why: str) -> None:
        self.cancel()
        if self._candidates:
            self.start()
        else:
            self._failed(why)

    def cancel(self) -> None:
        """Give up the attempt under way, if any, and tell nobody."""
        self._timer.cancel()
        if self._sock is not None:
            self._loop.unwatch(self._sock.fileno())
            self._discard(self._sock)
            self._sock = None


def _reason(number: int) -> str:
    return os.strerror(number).lower()

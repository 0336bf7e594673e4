"""Clients, from their accept until they have an upstream: the native worker's part of a proxy.

Twin of ``native/accept.c``, ``arrivals.c`` and ``clients.c``.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Any, Protocol

from sockproxy.native import load_native
from sockproxy.net.address import Address
from sockproxy.worker.address import place, read_address
from sockproxy.worker.loop import EventLoop
from sockproxy.worker.service import Service, Trials
from sockproxy.worker.told import text

__all__ = ["Acceptor", "Refused", "Rejection", "Told"]

Place = tuple[str, int]


class Rejection(IntEnum):
    """enum rejection of native/told.h: why a client was reset."""

    NONE = 0
    OWN = 1
    NOT_MEANT = 2
    FAILED = 3
    DENIED = 4
    TOO_MANY = 5
    TOO_OFTEN = 6
    SLOW = 7
    LEFT = 8
    NONSENSE = 9
    UNROUTED = 10
    FULL = 11
    NO_TARGET = 12


@dataclass(frozen=True, slots=True)
class Refused:
    """A client that was reset. service: the number of its Service. upstream: the last that was
    tried, with the errno; 0 for none within the time-out. what: was the matter with what it said
    first, or was waited for."""

    service: int
    peer: Place
    why: Rejection
    upstream: Address | None
    error: int
    what: str = ""


class Told(Protocol):
    """What an Acceptor tells, on the loop's thread."""

    def rejected(self, refused: Refused) -> None:
        """A client was reset, for it has none."""

    def silent(self, service: int, address: Address) -> None:
        """Nobody answered there: that service passes it over until has_answered()."""

    def short(self, error: int) -> None:
        """Accepting waits for a moment; the errno."""


class Acceptor:
    """Clients of one worker, or of several that share them.

    All methods belong to the loop's thread, or come before it runs. What is told is told there.

    most: clients at once.
    """

    def __init__(self, loop: EventLoop, told: Told, *, most: int) -> None:
        self._lib = load_native()
        self._loop, self._told = loop, told
        self._loops = [loop]
        self._trials = Trials(loop)
        self._refused = 0
        self._hear(loop, lambda call: call())
        self._lib.worker_limit_clients(loop.native, most)

    def share(self, loop: EventLoop) -> None:
        """Another worker, of those that share clients with the first one, has them too. Before
        there is a service."""
        self._hear(loop, self._loop.call)
        self._loops.append(loop)

    def serve(self, **how: Any) -> Service:
        """One more service: how, Service tells. Raises OSError."""
        return Service(self._loops, self._trials, **how)

    def listen_no_more(self) -> None:
        """The listening sockets may be closed then. Twice is allowed."""
        for loop in self._loops:
            loop.do(partial(self._on, loop, self._lib.worker_listen_no_more))

    def unlisten(self, listener: socket.socket) -> None:
        """Accept no more from this one, which may be closed then."""
        for loop in self._loops:
            loop.do(partial(self._unlisten, loop, listener.fileno()))

    def _unlisten(self, loop: EventLoop, fd: int) -> None:
        if loop.native:
            self._lib.worker_unlisten(loop.native, fd)

    @property
    def clients(self) -> int:
        """Those that live, also without an upstream yet; none when the loop is closed."""
        return int(self._lib.worker_clients(self._loop.native)) if self._loop.native else 0

    @property
    def refused(self) -> int:
        """Those that were reset before they had an upstream."""
        if self._loop.native:
            self._refused = int(self._lib.worker_refused(self._loop.native))
        return self._refused

    def close(self) -> None:
        """Reset those that have no upstream yet; end all trials. Twice is allowed."""
        for loop in self._loops:
            loop.do(partial(self._on, loop, self._lib.worker_close_clients))

    @staticmethod
    def _on(loop: EventLoop, call: Callable[[Any], None]) -> None:
        if loop.native:
            call(loop.native)

    def _hear(self, loop: EventLoop, tell: Callable[[Callable[[], None]], None]) -> None:
        """tell: calls on the thread of the first loop."""
        lib, told = self._lib, self._told

        def on_refused(news: Any) -> None:
            refused = _refused(loop.native, news)  # not later: the news are good for now
            tell(lambda: told.rejected(refused))

        def on_silent(news: Any) -> None:
            service, address = news.service, read_address(loop.native, news.upstream.far)
            tell(lambda: told.silent(service, address))

        def on_short(news: Any) -> None:
            number = news.error
            tell(lambda: told.short(number))

        loop.receive(lib.NEWS_REFUSED, on_refused)
        loop.receive(lib.NEWS_SILENT, on_silent)
        loop.receive(lib.NEWS_SHORT, on_short)


def _refused(worker: Any, news: Any) -> Refused:
    far = news.upstream.far
    upstream = read_address(worker, far) if far.family else None
    why = Rejection(news.rejection)
    what = text(news.why) if news.why else ""
    return Refused(news.service, place(worker, news.client.far), why, upstream, news.error, what)

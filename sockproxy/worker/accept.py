"""Clients, from their accept until they have an upstream: the native worker's part of a proxy.

Twin of ``native/accept.c``, ``clients.c``, ``targets.c`` and ``connect.c``.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from itertools import count
from typing import Any, Protocol

from sockproxy.native import check, ffi, load_native
from sockproxy.net.address import Address
from sockproxy.net.tcp import Option
from sockproxy.worker.loop import EventLoop
from sockproxy.worker.told import place

__all__ = ["Acceptor", "Refused", "Rejection", "Told"]

Place = tuple[str, int]
NO_ZONE = 0x7FFFFFFF  # an interface that is not there: connect(2) finds the network unreachable


class Rejection(IntEnum):
    """enum rejection of native/door.h: why a client was reset."""

    NONE = 0
    OWN = 1
    NOT_MEANT = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class Refused:
    """A client that was reset. upstream: the last that was tried, with the errno; 0 for none
    within the time-out."""

    peer: Place
    why: Rejection
    upstream: Address | None
    error: int


class Told(Protocol):
    """What an Acceptor tells, on the loop's thread."""

    def rejected(self, refused: Refused) -> None:
        """A client was reset, for it has none."""

    def silent(self, address: Address) -> None:
        """Nobody answered there: it is passed over until has_answered()."""

    def short(self, error: int) -> None:
        """Accepting waits for a moment; the errno."""


class Acceptor:
    """Clients of one worker, or of several that share them.

    All methods belong to the loop's thread, or come before it runs. What is told is told there.

    most: clients at once. timeout: seconds for each attempt to connect.
    original: upstreams are where clients meant to go before a REDIRECT, and no targets.
    options: of the sockets to upstreams. here: more of them, of those to this host; they may fail.
    """

    def __init__(
        self,
        loop: EventLoop,
        told: Told,
        *,
        most: int,
        timeout: float,
        original: bool = False,
        options: Iterable[Option] = (),
        here: Iterable[Option] = (),
    ) -> None:
        self._lib = load_native()
        self._loop, self._worker, self._told = loop, loop.native, told
        self._loops = [loop]
        self._trials: dict[int, Callable[[int], None]] = {}
        self._numbers = count(1)
        self._refused = 0
        self._hear(loop, lambda call: call())
        loop.receive(self._lib.NEWS_TRIED, self._on_tried)
        check(self._lib.worker_accept_as(self._worker, most, int(timeout * 1e9), original))
        for loopback, each in ((False, options), (True, here)):
            for level, name, value in each:
                size = len(value)
                check(self._lib.worker_set_option(self._worker, level, name, value, size, loopback))

    def _hear(self, loop: EventLoop, tell: Callable[[Callable[[], None]], None]) -> None:
        """tell: calls on the thread of the first loop."""
        lib, told = self._lib, self._told

        def on_refused(news: Any) -> None:
            refused = _refused(news)  # not later: the news are good for now
            tell(lambda: told.rejected(refused))

        def on_silent(news: Any) -> None:
            address = _address(news.upstream.far)
            tell(lambda: told.silent(address))

        def on_short(news: Any) -> None:
            number = news.error
            tell(lambda: told.short(number))

        loop.receive(lib.NEWS_REFUSED, on_refused)
        loop.receive(lib.NEWS_SILENT, on_silent)
        loop.receive(lib.NEWS_SHORT, on_short)

    def share(self, loop: EventLoop) -> None:
        """Another worker, of those that share clients with the first one, has them too. Before
        there is one that listens."""
        self._hear(loop, self._loop.call)
        self._loops.append(loop)

    def listen(self, listener: socket.socket) -> None:
        """Accept from this listening, non-blocking socket, before the loops run. Raises OSError."""
        for loop in self._loops:
            check(self._lib.worker_listen(loop.native, listener.fileno()))

    def listen_no_more(self) -> None:
        """The listening sockets may be closed then. Twice is allowed."""
        for loop in self._loops:
            loop.do(partial(self._listen_no_more, loop))

    def _listen_no_more(self, loop: EventLoop) -> None:
        if loop.native:
            self._lib.worker_listen_no_more(loop.native)

    @property
    def clients(self) -> int:
        """Those that live, also without an upstream yet; none when the loop is closed."""
        return int(self._lib.worker_clients(self._worker)) if self._loop.native else 0

    @property
    def refused(self) -> int:
        """Those that were reset because no upstream took them."""
        if self._loop.native:
            self._refused = int(self._lib.worker_refused(self._worker))
        return self._refused

    def set_targets(self, addresses: Sequence[Address]) -> None:
        """The upstreams, taken in turn. Raises OSError."""
        targets = ffi.new("struct address[]", len(addresses))
        for target, address in zip(targets, addresses, strict=True):
            _write(target, address)
        check(self._lib.worker_set_targets(self._worker, targets, len(addresses)))

    def has_answered(self, address: Address) -> None:
        """One that was silent answers again."""
        self._lib.worker_has_answered(self._worker, _native(address))

    def try_once(self, address: Address, done: Callable[[int], None]) -> Callable[[], None]:
        """Connect there, close, and call `done` with the errno, 0 for an answer; what is returned
        keeps it from that. Raises OSError."""
        number = next(self._numbers)
        check(self._lib.worker_try(self._worker, _native(address), number))
        self._trials[number] = done

        def forget() -> None:
            if self._trials.pop(number, None) is not None and self._loop.native:
                self._lib.worker_forget_trial(self._worker, number)

        return forget

    def close(self) -> None:
        """Reset those that have no upstream yet; end all trials. Twice is allowed."""
        for loop in self._loops:
            loop.do(partial(self._close_clients, loop))

    def _close_clients(self, loop: EventLoop) -> None:
        if loop.native:
            self._lib.worker_close_clients(loop.native)

    def _on_tried(self, news: Any) -> None:
        if done := self._trials.pop(news.number, None):
            done(news.error)


# -- struct address ------------------------------------------------------------------------


def _write(target: Any, address: Address) -> None:
    host, _, zone = address.host.partition("%")
    packed = socket.inet_pton(address.family, host)
    target.family, target.port = address.family, address.port
    target.scope = _scope(zone) if zone else 0
    ffi.memmove(target.host, packed, len(packed))


def _native(address: Address) -> Any:
    target = ffi.new("struct address *")
    _write(target, address)
    return target


def _scope(zone: str) -> int:
    try:
        return int(zone) if zone.isdigit() else socket.if_nametoindex(zone)
    except OSError:
        return NO_ZONE


def _address(address: Any) -> Address:
    return Address(address.family, *place(address))


def _refused(news: Any) -> Refused:
    far = news.client.far
    upstream = _address(news.upstream.far) if news.upstream.far.family else None
    return Refused(place(far), Rejection(news.rejection), upstream, news.error)

"""Where the clients of some listening sockets go: ``native/service.h``, ``native/targets.h``."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from functools import partial
from itertools import count
from typing import Any

from sockproxy.native import check, load_native
from sockproxy.net.address import Address
from sockproxy.net.tcp import Option
from sockproxy.worker.address import native_address
from sockproxy.worker.loop import EventLoop
from sockproxy.worker.rules import NO_RULES, Rules
from sockproxy.worker.targets import Target, TargetStats, native_targets, read_targets

__all__ = ["Balance", "Service", "Trials"]


class Balance(IntEnum):
    """enum balance of native/door.h: whose turn it is, of the targets of a service."""

    TURNS = 0
    LEAST = 1
    SOURCE = 2


class Trials:
    """Single connections, by which it is found out whether somebody answers. Of one loop."""

    def __init__(self, loop: EventLoop) -> None:
        self._lib, self._loop = load_native(), loop
        self._waiting: dict[int, Callable[[int], None]] = {}
        self._numbers = count(1)
        loop.receive(self._lib.NEWS_TRIED, self._on_tried)

    def begin(
        self, service: int, address: Address, done: Callable[[int], None]
    ) -> Callable[[], None]:
        """Service.try_once(), of the service of that number."""
        number = next(self._numbers)
        worker = self._loop.native
        check(self._lib.worker_try(worker, service, native_address(worker, address), number))
        self._waiting[number] = done

        def forget() -> None:
            if self._waiting.pop(number, None) is not None and self._loop.native:
                self._lib.worker_forget_trial(self._loop.native, number)

        return forget

    def _on_tried(self, news: Any) -> None:
        if done := self._waiting.pop(news.number, None):
            done(news.error)


class Service:
    """One of an Acceptor. All methods belong to the thread of its first loop, or come before that
    runs.

    loops: of the workers that share the clients. timeout: seconds for each attempt to connect.
    original: upstreams are where clients meant to go before a REDIRECT, and no targets.
    balance: whose turn it is. send_proxy: the version of the PROXY protocol by which upstreams are
    told first who the client is; 0 for none. rules: by which it has clients.
    options: of the sockets to upstreams. here: more of them, of those to this host; they may fail.
    """

    def __init__(
        self,
        loops: Sequence[EventLoop],
        trials: Trials,
        *,
        timeout: float,
        original: bool = False,
        balance: Balance = Balance.TURNS,
        send_proxy: int = 0,
        rules: Rules = NO_RULES,
        options: Iterable[Option] = (),
        here: Iterable[Option] = (),
    ) -> None:
        """Raises OSError."""
        self._lib, self._loops, self._trials = load_native(), loops, trials
        self._native = loops[0].native
        self.number = check(
            self._lib.worker_serve(self._native, int(timeout * 1e9), original, balance)
        )
        """By which its clients are told of."""
        check(self._lib.worker_send_preface(self._native, self.number, send_proxy))
        rules.tell(self._native, self.number)
        for loopback, each in ((False, options), (True, here)):
            for level, name, value in each:
                option = (self.number, level, name, value, len(value), loopback)
                check(self._lib.worker_set_option(self._native, *option))

    def route(self, name: str, to: Service) -> None:
        """Clients that ask for the name by TLS are another one's from then on; ``*.example.org``
        is every name below that. name: in small letters, and without a dot at its end. Before it
        listens. Raises OSError."""
        check(self._lib.worker_route(self._native, self.number, name.encode(), to.number))

    def listen(self, listener: socket.socket) -> None:
        """Accept from this listening, non-blocking socket, which may have been another service's.
        Raises OSError."""
        for loop in self._loops:
            loop.do(partial(self._listen, loop, listener.fileno()))

    def _listen(self, loop: EventLoop, fd: int) -> None:
        check(self._lib.worker_listen(loop.native, self.number, fd))

    def set_targets(self, targets: Sequence[Target]) -> None:
        """The upstreams. Those that stay keep their clients, and whether they are silent. Raises
        OSError."""
        given = native_targets(self._native, targets)
        check(self._lib.worker_set_targets(self._native, self.number, given, len(targets)))

    def read_targets(self) -> tuple[list[TargetStats], int]:
        """The upstreams as they are, and how many clients wait for a place at one of them. From any
        thread. Raises SockproxyError when the loop is closed."""
        with self._loops[0].kept_open():
            return read_targets(self._lib, self._native, self.number)

    def has_answered(self, address: Address) -> None:
        """One that was silent answers again."""
        target = native_address(self._native, address)
        self._lib.worker_has_answered(self._native, self.number, target)

    def try_once(self, address: Address, done: Callable[[int], None]) -> Callable[[], None]:
        """Connect there, close, and call `done` with the errno, 0 for an answer; what is returned
        keeps it from that. Raises OSError."""
        return self._trials.begin(self.number, address, done)

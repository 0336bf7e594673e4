"""The proxy's clients, from their accept to the end of their connection."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from functools import partial

from sockproxy.net.address import format_address
from sockproxy.net.tcp import close_with_reset
from sockproxy.proxy.outgoing import Outgoing, Refused
from sockproxy.proxy.seldom import Seldom
from sockproxy.worker.connect import Connector
from sockproxy.worker.door import Ended, Event, Worker
from sockproxy.worker.stats import PairStats

__all__ = ["Clients"]

log = logging.getLogger("sockproxy.proxy")


class Clients:
    """Connects the upstream of each client, and gives the two to the worker.

    timeout: seconds for each attempt to connect. most: clients at once.
    one_less: called when a client has been refused, or its connection has ended.
    Each of those is a line of the log, at the level DEBUG. At others one a minute is told of, for
    which no upstream answered.
    """

    def __init__(
        self,
        outgoing: Outgoing,
        timeout: float,
        most: int,
        *,
        one_less: Callable[[], None],
    ) -> None:
        self._outgoing, self._timeout, self._most = outgoing, timeout, most
        self._one_less = one_less
        self._connecting = outgoing.connecting
        self._worker: Worker
        self._refusals = Seldom(log, counts=True)
        self.refused = 0
        """Clients reset because no upstream took them."""

    def open(self, worker: Worker) -> None:
        """Clients are this worker's from now on, and on_event() is told its events."""
        self._worker = worker

    @property
    def count(self) -> int:
        """Those that live: their upstream is being connected, or they have one."""
        return self._worker.live + len(self._connecting)

    def have_room(self) -> bool:
        """Whether there may be one more."""
        return self.count < self._most

    def serve(self, client: socket.socket, peer: tuple[str, int]) -> None:
        """Connect the upstream of a client that comes from `peer`, and pair them."""
        try:
            candidates = self._outgoing.candidates(client, peer)
        except Refused as refused:
            self._fail(client, str(refused))
            return
        connector = self._connecting[client] = Connector(
            self._worker.loop,
            candidates,
            self._timeout,
            connected=partial(self._pair, client),
            failed=partial(self._unanswered, client),
            attempts=self._outgoing,
        )
        connector.start()

    def _pair(self, client: socket.socket, upstream: socket.socket) -> None:
        self._connecting.pop(client, None)
        fd = upstream.fileno()
        try:
            number = self._worker.add(client, upstream)
        except OSError as error:  # one of them was reset before they were paired
            self._outgoing.discard(upstream)
            self._fail(client, (error.strerror or "not connected").lower())
        else:
            self._outgoing.paired(fd, number)

    def _unanswered(self, client: socket.socket, why: str) -> None:
        if not log.isEnabledFor(logging.DEBUG):
            self._refusals.say(lambda: f"{_peer(client)} refused: {why}")
        self._fail(client, why)

    def _fail(self, client: socket.socket, why: str) -> None:
        """The client is told as TCP would tell it: by a reset."""
        self._connecting.pop(client, None)
        self.refused += 1
        if log.isEnabledFor(logging.DEBUG):
            log.debug(f"{_peer(client)} refused: {why}")
        close_with_reset(client)
        self._one_less()

    def on_event(self, event: Event) -> None:
        """The worker has told what became of a connection."""
        if not isinstance(event, Ended):
            return
        self._outgoing.ended(event.stats.number)
        if log.isEnabledFor(logging.DEBUG):
            log.debug(_line(event.stats))
        self._one_less()

    def close(self) -> None:
        """Reset those that have no upstream yet."""
        for client, connector in list(self._connecting.items()):
            connector.cancel()
            close_with_reset(client)
        self._connecting.clear()


def _line(stats: PairStats) -> str:
    ways = []
    for arrow, way in (("->", stats.forward), ("<-", stats.backward)):
        past = f", {way.short_circuited} past us" if way.short_circuited else ""
        moved = way.redirected + way.pumped + way.short_circuited
        ways.append(f"{arrow} {moved} B ({way.redirected} in the kernel{past})")
    return (
        f"#{stats.number} {format_address(stats.client)} to {format_address(stats.upstream)} "
        f"{stats.outcome} after {stats.age:.3f} s: {', '.join(ways)}"
    )


def _peer(sock: socket.socket) -> str:
    try:
        return format_address(sock.getpeername()[:2])
    except OSError:
        return "a client that had gone"

"""The proxy's clients, from their upstream's answer to the end of their connection."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable

from sockproxy.net.address import Address, format_address
from sockproxy.net.tcp import close_with_reset
from sockproxy.proxy.seldom import Seldom
from sockproxy.worker.accept import Acceptor, Connected, Refusal, Refused
from sockproxy.worker.door import Ended, Event, Worker
from sockproxy.worker.stats import PairStats

__all__ = ["Clients"]

log = logging.getLogger("sockproxy.proxy")

SOCKET = socket.SOCK_STREAM | socket.SOCK_NONBLOCK


class Clients:
    """Gives each client and its upstream to the worker.

    timeout: seconds for each attempt to connect, of which the acceptor tells that they are over.
    came_back: says why a connection of our own was refused, and what to do.
    silent: told of an upstream that does not answer.
    one_less: called when a client has been refused, or its connection has ended.
    Each of those is a line of the log, at the level DEBUG. At others one a minute is told of, for
    which no upstream answered.
    """

    def __init__(
        self,
        timeout: float,
        *,
        came_back: Callable[[], str],
        silent: Callable[[Address], None],
        one_less: Callable[[], None],
    ) -> None:
        self._timeout = timeout
        self._came_back, self._one_less = came_back, one_less
        self.silent = silent
        self._worker: Worker
        self._acceptor: Acceptor
        self._numbers: dict[int, int] = {}  # the acceptor's, by the worker's
        self._refusals = Seldom(log, counts=True)
        self._loops, self._shortages = Seldom(log), Seldom(log)

    def open(self, worker: Worker, acceptor: Acceptor) -> None:
        """Clients come from this acceptor, and are this worker's from now on; on_event() is told
        its events."""
        self._worker, self._acceptor = worker, acceptor

    @property
    def count(self) -> int:
        """Those that live: their upstream is being connected, or they have one."""
        return self._acceptor.clients

    @property
    def refused(self) -> int:
        """Clients reset because no upstream took them."""
        return self._acceptor.refused

    # -- what the acceptor tells ---------------------------------------------------------

    def connected(self, connected: Connected) -> None:
        """Pair the two."""
        fds = (connected.client_fd, connected.upstream_fd)
        client, upstream = (
            socket.socket(family, SOCKET, 0, fileno=fd)
            for family, fd in zip(connected.families, fds, strict=True)
        )
        try:
            number = self._worker.add(client, upstream, ends=(connected.client, connected.upstream))
        except OSError as error:  # it cannot be watched
            for sock in (client, upstream):
                close_with_reset(sock)
            self._acceptor.release(connected.number, refused=True)
            self._tell_refused(connected.client.far, os.strerror(error.errno or 0).lower())
        else:
            self._numbers[number] = connected.number

    def rejected(self, refused: Refused) -> None:
        """Tell of a client that had no upstream."""
        why = _reason(refused, self._timeout)
        if refused.why is Refusal.OWN:
            self._loops.say(self._came_back)
        elif refused.why is Refusal.FAILED and not log.isEnabledFor(logging.DEBUG):
            self._refusals.say(lambda: f"{format_address(refused.peer)} refused: {why}")
        self._tell_refused(refused.peer, why)

    def short(self, error: int) -> None:
        """Clients wait to be accepted."""
        self._shortages.say(lambda: f"accept: {os.strerror(error).lower()}; clients wait")

    def _tell_refused(self, peer: tuple[str, int], why: str) -> None:
        """Tell of a client that was reset."""
        if log.isEnabledFor(logging.DEBUG):
            log.debug(f"{format_address(peer)} refused: {why}")
        self._one_less()

    # -- what the worker tells -----------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """The worker has told what became of a connection."""
        if not isinstance(event, Ended):
            return
        self._acceptor.release(self._numbers.pop(event.stats.number))
        if log.isEnabledFor(logging.DEBUG):
            log.debug(_line(event.stats))
        self._one_less()


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


def _reason(refused: Refused, timeout: float) -> str:
    if refused.why is Refusal.OWN:
        return "it is this proxy's own connection"
    if refused.why is Refusal.NOT_MEANT:
        return "no original destination: the connection was not redirected"
    what = os.strerror(refused.error).lower() if refused.error else f"no answer in {timeout:g} s"
    return f"{refused.upstream}: {what}"

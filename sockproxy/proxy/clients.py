"""The proxy's clients: those that are refused, and connections that have ended."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

from sockproxy.net.address import Address, format_address
from sockproxy.proxy.seldom import Seldom
from sockproxy.proxy.service import ProxyService
from sockproxy.worker.accept import Acceptor, Refused, Rejection
from sockproxy.worker.door import Ended, Event
from sockproxy.worker.stats import DirectionStats, PairStats

__all__ = ["Clients"]

log = logging.getLogger("sockproxy.proxy")

_OUTCOMES = {
    Rejection.OWN: "loop",
    Rejection.NOT_MEANT: "not redirected",
    Rejection.DENIED: "denied",
    Rejection.TOO_MANY: "max-per-client",
    Rejection.TOO_OFTEN: "rate-per-client",
    Rejection.FULL: "full",
    Rejection.SLOW: "no hello",
    Rejection.LEFT: "no hello",
    Rejection.NONSENSE: "bad hello",
    Rejection.UNROUTED: "no route",
}
"""Of those that no upstream was asked for, in a word."""


UNSERVED = {Rejection.FAILED, Rejection.FULL, Rejection.NO_TARGET}


class Clients:
    """Tells of them.

    service_of: whose clients they are, by its number.
    one_less: called when a client has been refused, or its connection has ended.
    Each of those is a line of the log, at the level DEBUG. At others one a minute is told of, for
    which no upstream answered.
    """

    def __init__(
        self, service_of: Callable[[int], ProxyService], *, one_less: Callable[[], None]
    ) -> None:
        self._service_of, self._one_less = service_of, one_less
        self._acceptor: Acceptor
        self._refusals = Seldom(log, counts=True)
        self._loops, self._shortages = Seldom(log), Seldom(log)
        self.refused_for: Counter[str] = Counter()
        """How many clients were reset, by why."""

    def open(self, acceptor: Acceptor) -> None:
        """Clients come from this acceptor."""
        self._acceptor = acceptor

    @property
    def wanted(self) -> tuple[type[Event], ...]:
        """The events that on_event() has a use for: none, as long as nobody reads of them."""
        return (Ended,) if log.isEnabledFor(logging.DEBUG) else ()

    @property
    def count(self) -> int:
        """Those that live: their upstream is being connected, or they have one."""
        return self._acceptor.clients

    @property
    def refused(self) -> int:
        """Clients reset before they had an upstream."""
        return self._acceptor.refused

    # -- what the acceptor tells ---------------------------------------------------------

    def rejected(self, refused: Refused) -> None:
        """Tell of a client that had no upstream."""
        service = self._service_of(refused.service)
        why = _reason(refused, service.options.connect_timeout)
        self.refused_for[_OUTCOMES.get(refused.why, "no upstream")] += 1
        if refused.why is Rejection.OWN:
            self._loops.say(lambda: service.way_out_of_a_loop(refused.peer))
        elif refused.why in UNSERVED and not log.isEnabledFor(logging.DEBUG):
            self._refusals.say(lambda: f"{format_address(refused.peer)} refused: {why}")
        self._tell_refused(service.options.name, refused.peer, why)

    def silent(self, service: int, address: Address) -> None:
        """An upstream does not answer."""
        self._service_of(service).upstreams.fell_silent(address)

    def short(self, error: int) -> None:
        """Clients wait to be accepted."""
        self._shortages.say(lambda: f"accept: {os.strerror(error).lower()}; clients wait")

    def _tell_refused(self, service: str, peer: tuple[str, int], why: str) -> None:
        """Tell of a client that was reset."""
        if log.isEnabledFor(logging.DEBUG):
            fields = {
                "event": "refused",
                "service": service,
                "client": format_address(peer),
                "why": why,
            }
            log.debug(f"{format_address(peer)} refused: {why}", extra={"fields": fields})
        self._one_less()

    # -- what the worker tells -----------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """The worker has told what became of a connection."""
        if not isinstance(event, Ended):
            return
        if log.isEnabledFor(logging.DEBUG):
            log.debug(_line(event.stats), extra={"fields": self._fields(event.stats)})
        self._one_less()

    def _fields(self, stats: PairStats) -> dict[str, Any]:
        name = self._service_of(stats.service).options.name
        return {"event": "connection", "service": name, **_fields(stats)}


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


def _fields(stats: PairStats) -> dict[str, Any]:
    """What a line of JSON has of a connection. Bytes; seconds."""
    return {
        "number": stats.number,
        "client": format_address(stats.client),
        "client_local": format_address(stats.client_local),
        "upstream": format_address(stats.upstream),
        "upstream_local": format_address(stats.upstream_local),
        "outcome": stats.outcome,
        "connect_seconds": round(stats.connecting, 6),
        "seconds": round(stats.age, 6),
        "forward": _way(stats.forward),
        "backward": _way(stats.backward),
        "why_not_short_circuited": stats.why_not_short_circuited,
    }


def _way(way: DirectionStats) -> dict[str, Any]:
    return {
        "bytes": way.moved,
        "redirected": way.redirected,
        "pumped": way.pumped,
        "short_circuited": way.short_circuited,
        "dropped": way.dropped,
        "lost": way.lost,
        "holds": way.holds,
        "why": way.why,
    }


_REASONS = {
    Rejection.OWN: "it is this proxy's own connection",
    Rejection.NOT_MEANT: "no original destination: the connection was not redirected",
    Rejection.DENIED: "by allow and deny",
    Rejection.TOO_MANY: "its host has max-per-client connections",
    Rejection.TOO_OFTEN: "its host comes more often than rate-per-client",
    Rejection.UNROUTED: "no route for the name that it asks for, and no upstream",
    Rejection.NO_TARGET: "no upstream takes new clients: their weights are 0",
}


def _reason(refused: Refused, timeout: float) -> str:
    if refused.why is Rejection.FULL:
        return f"all upstreams had as many clients as they may have, for {timeout:g} s"
    if refused.why in _REASONS:
        return _REASONS[refused.why]
    if refused.why is Rejection.NONSENSE:
        return refused.what
    if refused.why is Rejection.SLOW:
        return f"{refused.what} did not come within hello-timeout"
    if refused.why is Rejection.LEFT:
        return f"it ended before {refused.what} had come"
    if refused.upstream is None:
        return os.strerror(refused.error).lower()
    what = os.strerror(refused.error).lower() if refused.error else f"no answer in {timeout:g} s"
    return f"{refused.upstream}: {what}"

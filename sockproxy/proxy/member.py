"""One address of an upstream, and how it stands."""

from __future__ import annotations

import errno
from collections.abc import Callable
from time import monotonic
from typing import Any

from sockproxy.net.address import Address
from sockproxy.proxy.health import Checks
from sockproxy.proxy.pool import Pool, Upstream
from sockproxy.worker.door import Loop, Timer
from sockproxy.worker.service import Service
from sockproxy.worker.targets import Target, TargetStats

__all__ = ["Member", "Trial", "report_of_gone"]

RETRY = 1.0  # seconds between two attempts in the background
ANSWERS = (0, errno.ECONNREFUSED)
WHOLE = 256  # the share of a weight of 1, of which a slow start has a part


class Member:
    """checks: None where there are none. trial: of one that is silent. rises_from: when it was up
    again, in seconds of the monotonic clock; None for one that is as it should be."""

    def __init__(self, address: Address, upstream: Upstream) -> None:
        self.address, self.upstream = address, upstream
        self.checks: Checks | None = None
        self.trial: Trial | None = None
        self.rises_from: float | None = None

    @property
    def is_down(self) -> bool:
        """By its checks."""
        return self.checks is not None and not self.checks.up

    def target(self, upstream: Upstream, pool: Pool) -> Target:
        """As the worker has it, if it were this upstream's of this pool."""
        share = round(WHOLE * upstream.weight * self.risen(pool.slow_start))
        down = self.is_down and pool.health is not None
        return Target(self.address, max(share, upstream.weight > 0), upstream.most or 0, down=down)

    def risen(self, slow_start: float) -> float:
        """The part of its share that it has."""
        rises_from = self.rises_from
        if rises_from is None or not slow_start:
            return 1.0
        return min((monotonic() - rises_from) / slow_start, 1.0)

    def cancel(self) -> None:
        """Look after it no more. Twice is allowed."""
        if self.trial is not None:
            self.trial.cancel()
        if self.checks is not None:
            self.checks.cancel()
        self.trial = self.checks = None

    def report(self, stats: TargetStats, pool: Pool) -> dict[str, Any]:
        """What `sockproxy status --json` shows. From any thread."""
        state, why = self._state(stats)
        weight = self.upstream.weight
        return {
            "address": str(self.address),
            "state": state,
            "why": why,
            "weight": weight,
            "weight_now": round(weight * self.risen(pool.slow_start), 2),
            "max_connections": self.upstream.most,
            "clients": stats.clients,
            "chosen": stats.chosen,
        }

    def _state(self, stats: TargetStats) -> tuple[str, str]:
        checks, most = self.checks, self.upstream.most
        if self.upstream.weight == 0:
            return "draining", "its weight is 0"
        if checks is not None and not checks.up:
            return "down", checks.why
        if self.trial is not None:
            return "silent", "it did not answer a client; it is tried until it does"
        if most is not None and stats.clients >= most:
            return "full", f"it has the {most} clients that it may have"
        return "up", ""


def report_of_gone(stats: TargetStats) -> dict[str, Any]:
    """As Member.report(), of one that is an upstream no more."""
    return {
        "address": str(stats.address),
        "state": "gone",
        "why": "it is no upstream any more, and keeps the clients that it has",
        "weight": 0,
        "weight_now": 0.0,
        "max_connections": None,
        "clients": stats.clients,
        "chosen": stats.chosen,
    }


class Trial:
    """Attempts in the background, until one is answered: `answered` is called then."""

    def __init__(
        self, address: Address, loop: Loop, service: Service, answered: Callable[[], None]
    ) -> None:
        self._address, self._loop, self._service = address, loop, service
        self._answered = answered
        self._forget: Callable[[], None] = lambda: None
        self._timer: Timer = loop.later(RETRY, self._try)

    def _try(self) -> None:
        try:
            self._forget = self._service.try_once(self._address, self._tried)
        except OSError as error:
            self._tried(error.errno or errno.ENOMEM)

    def _tried(self, number: int) -> None:
        if number in ANSWERS:
            self._answered()
        else:
            self._timer = self._loop.later(RETRY, self._try)

    def cancel(self) -> None:
        """Try no more. Twice is allowed."""
        self._timer.cancel()
        self._forget()

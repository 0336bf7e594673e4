"""Whether an upstream serves, by checks: down after so many that fail, up after so many that
succeed."""

from __future__ import annotations

import random
from collections.abc import Callable

from sockproxy.net.address import Address
from sockproxy.proxy.check import Check, Way
from sockproxy.proxy.pool import Health
from sockproxy.worker.door import Loop, Timer

__all__ = ["Checks"]

JITTER = 0.1  # of an interval: so that many upstreams, and proxies, do not check in step


class Checks:
    """Those of one address, one after another. All methods belong to the loop's thread.

    It counts as up until the first one has ended; when that fails it is down at once.
    changed: called when it has come up, or gone down.
    """

    def __init__(
        self,
        address: Address,
        how: Health,
        way: Way,
        changed: Callable[[], None],
        before: Checks | None = None,
    ) -> None:
        """before: those of another service, whose findings these go on from."""
        self._address, self.how, self._way, self._changed = address, how, way, changed
        self.up: bool = before is None or before.up
        self.why: str = "" if before is None else before.why
        """What was wrong when one failed last."""
        self._is_known: bool = before is not None and before._is_known
        self._others = 0  # so many in a row have found otherwise
        self._loop: Loop | None = None
        self._check: Check | None = None
        self._timer: Timer | None = None

    def begin(self, loop: Loop) -> None:
        """Check from now on. Twice is allowed."""
        if self._loop is None:
            self._loop = loop
            self._soon()

    def _soon(self) -> None:
        assert self._loop is not None
        self._timer = self._loop.later(self.how.interval * JITTER * random.random(), self._begin)

    def change(self, how: Health) -> None:
        """Check like this from now on; what was found stays."""
        if how == self.how:
            return
        self.how = how
        if self._loop is not None:
            self.cancel()
            self._soon()

    def _begin(self) -> None:
        assert self._loop is not None
        self._check = Check(self._loop, self._address, self.how, self._way, self._done)
        self._check.begin()

    def _done(self, failure: str | None) -> None:
        assert self._loop is not None
        self._check = None
        wait = self.how.interval * random.uniform(1 - JITTER, 1 + JITTER)
        self._timer = self._loop.later(wait, self._begin)
        if failure is not None:
            self._count(failure)

    def _count(self, failure: str) -> None:
        is_first, self._is_known = not self._is_known, True
        self.why = failure or self.why
        if self.up == (not failure):
            self._others = 0
            return
        self._others += 1
        if is_first or self._others >= (self.how.fall if failure else self.how.rise):
            self._others = 0
            self.up = not failure
            self._changed()

    def cancel(self) -> None:
        """Check no more. Twice is allowed."""
        if self._timer is not None:
            self._timer.cancel()
        if self._check is not None:
            self._check.cancel()
        self._check = self._timer = None

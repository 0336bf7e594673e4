"""A loop whose time a test says: sockproxy.worker.door.Loop."""

from __future__ import annotations

import itertools


class FakeTimer:
    def __init__(self, due, call):
        self.due, self.call = due, call

    def cancel(self):
        self.call = None


class FakeLoop:
    """now: seconds. It watches no descriptors."""

    def __init__(self):
        self.now = 1000.0
        self._timers = []
        self._order = itertools.count()

    def later(self, seconds, call):
        timer = FakeTimer(self.now + seconds, call)
        self._timers.append((timer.due, next(self._order), timer))
        return timer

    @property
    def waits(self):
        """Seconds until each of what is due, in order."""
        due = sorted(timer.due for *_, timer in self._timers if timer.call is not None)
        return [each - self.now for each in due]

    def pass_time(self, seconds):
        """Until then all is called that is due, at its time."""
        until = self.now + seconds
        while self._timers:
            self._timers.sort()
            due, _, timer = self._timers[0]
            if due > until:
                break
            del self._timers[0]
            self.now = max(self.now, due)
            call, timer.call = timer.call, None
            if call is not None:
                call()
        self.now = until

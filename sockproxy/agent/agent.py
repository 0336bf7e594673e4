"""The agent: it waits for what changes, takes one step, tells, and waits again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sockproxy.agent.conditions import Condition, Reason
from sockproxy.agent.follow import Followed, Follower
from sockproxy.agent.reconcile import Reconciler, Step
from sockproxy.agent.report import Report

__all__ = ["Agent", "State"]

PENDING, LONG_PENDING = 0.1, 1.0  # seconds between two looks for the cgroup of a pod that begins
PENDING_LOOKS = 300  # after so many it may be an image that takes long, or never comes
SETTLING = 0.05  # seconds in which changes are gathered


@dataclass(slots=True)
class State:
    """What metrics show; each field is replaced as a whole."""

    followed: Followed = field(default_factory=Followed)
    conditions: dict[str, Condition] = field(default_factory=dict)
    names: int = 0
    steps: int = 0
    failed: int = 0


class Agent:
    """changed: set by the follower, and by stop(). resync: seconds after which all is looked at
    again though nothing changed."""

    def __init__(
        self,
        follower: Follower,
        reconciler: Reconciler,
        report: Report,
        changed: threading.Event,
        resync: float,
    ) -> None:
        self.state = State()
        self._follower, self._reconciler, self._report = follower, reconciler, report
        self._changed, self._resync = changed, resync
        self._stopped = False
        self._looks = 0

    def stop(self) -> None:
        """Have run() end; a signal handler may call it."""
        self._stopped = True
        self._changed.set()

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Follow until stop(). ready: called after the first step."""
        self._follower.start()
        self._reconciler.prepare()
        while not self._stopped:
            wait = self._turn()
            if self.state.steps == 1:
                ready()
            if self._changed.wait(wait):
                time.sleep(SETTLING)
        self._follower.stop()

    def _turn(self) -> float:
        """Take a step, if it is known what is wanted; seconds until the next one."""
        if self._changed.is_set():
            self._looks = 0
        self._changed.clear()  # before looking: what changes from here on wakes
        now = self._follower.now
        self._report.follow(now)
        self.state.followed = now
        if now.pods is None:
            return self._resync
        step = self._reconciler.step(now.pods)
        self._report.step(now.pods, step)
        self.state.conditions, self.state.names = step.conditions, step.names
        self.state.failed = len(step.failed)
        self.state.steps += 1
        return self._wait(step)

    def _wait(self, step: Step) -> float:
        waits = [self._resync]
        if step.retry_in is not None:
            waits.append(step.retry_in)
        pending = any(each.reason is Reason.PENDING for each in step.conditions.values())
        if pending:
            self._looks += 1
            waits.append(PENDING if self._looks < PENDING_LOOKS else LONG_PENDING)
        return min(waits)

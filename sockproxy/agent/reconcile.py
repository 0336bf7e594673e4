"""One step: what is attached becomes what is wanted."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from sockproxy.agent.bypasses import Attached, Bypasses
from sockproxy.agent.conditions import Condition, Reason
from sockproxy.agent.pods import Pod
from sockproxy.agent.wanted import Wanted, decide
from sockproxy.errors import SockproxyError

__all__ = ["Limits", "Reconciler", "Step"]

FIRST_DELAY, LONGEST_DELAY = 0.2, 60.0  # seconds until a failure is tried again; it doubles


@dataclass(frozen=True, slots=True)
class Limits:
    """names: NAMEs at once. root: as find_pod() takes it."""

    names: int
    root: Path


@dataclass(frozen=True, slots=True)
class Step:
    """What came of a step.

    conditions: by the pod's uid. names: how many are attached. failed: what could not be looked
    at or detached, as lines. retry_in: seconds until it is worth another; None for no such hurry.
    """

    conditions: dict[str, Condition]
    names: int
    failed: list[str]
    retry_in: float | None


class Reconciler:
    """Makes what is attached equal to what pods ask for; keeps only when to try again."""

    def __init__(
        self, bypasses: Bypasses, limits: Limits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._bypasses, self._limits, self._clock = bypasses, limits, clock
        self._given: dict[str, str] = {}  # NAMEs with this agent's options; why one only observes
        self._delays: dict[str, tuple[float, float]] = {}  # NAME: not before, the next delay
        self._failures: dict[str, str] = {}

    def prepare(self) -> None:
        """Do beforehand what takes long, before the first step."""
        self._bypasses.prepare()

    def step(self, pods: Collection[Pod]) -> Step:
        """Attach and detach what has to be. pods: all of this node."""
        try:
            seen = self._bypasses.seen()
        except SockproxyError as error:
            told = Condition(Reason.FAILED, str(error))
            return Step(dict.fromkeys((each.uid for each in pods), told), 0, [str(error)], 5.0)
        wanted = decide(pods, seen, self._limits.root, self._limits.names)
        for name in seen.keys() - wanted.cgroups.keys():
            self._try(name, self._detach)
        for name in wanted.cgroups:
            if not self._is_done(name, wanted, seen.get(name)):
                self._try(name, lambda name: self._attach(name, wanted))
        for name in self._delays.keys() - seen.keys() - wanted.cgroups.keys():
            self._forget(name)
        failed = [f"{name}: {why}" for name, why in sorted(self._failures.items())]
        return Step(self._conditions(wanted), len(wanted.cgroups), failed, self._retry_in())

    def detach_all(self) -> list[str]:
        """Detach all that is the agent's; what failed, as lines."""
        self._delays.clear()
        self._failures.clear()
        for name in self._bypasses.seen():
            self._try(name, self._detach)
        return [f"{name}: {why}" for name, why in sorted(self._failures.items())]

    def _is_done(self, name: str, wanted: Wanted, seen: Attached | None) -> bool:
        if seen is None or seen.is_stale or name not in self._given:
            return False
        return set(seen.cgroups) == wanted.cgroups[name].keys()

    def _attach(self, name: str, wanted: Wanted) -> None:
        self._given[name] = self._bypasses.attach(name, list(wanted.cgroups[name].values()))

    def _detach(self, name: str) -> None:
        self._given.pop(name, None)
        if not self._bypasses.detach(name):
            raise SockproxyError("what was bypassed is unread: plain TCP, until it has been read")

    def _try(self, name: str, do: Callable[[str], None]) -> None:
        """Do it, unless it has failed and is to wait."""
        not_before, delay = self._delays.get(name, (0.0, FIRST_DELAY))
        if self._clock() < not_before:
            return
        try:
            do(name)
        except SockproxyError as error:
            self._delays[name] = self._clock() + delay, min(2 * delay, LONGEST_DELAY)
            self._failures[name] = str(error)
        else:
            self._forget(name)

    def _forget(self, name: str) -> None:
        self._delays.pop(name, None)
        self._failures.pop(name, None)

    def _conditions(self, wanted: Wanted) -> dict[str, Condition]:
        found = dict(wanted.conditions)
        for name, members in wanted.members.items():
            if why := self._failures.get(name):
                condition = Condition(Reason.FAILED, f"{why}; connections stay plain TCP")
            elif why := self._given.get(name, ""):
                condition = Condition(Reason.OBSERVED, f"by {name}: {why}")
            else:
                condition = Condition(Reason.BYPASSED, f"by {name}")
            found |= dict.fromkeys(members, condition)
        return found

    def _retry_in(self) -> float | None:
        if not self._delays:
            return None
        return max(0.1, min(each for each, _ in self._delays.values()) - self._clock())

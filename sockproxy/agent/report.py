"""Tell what has changed: a line in the log, and an event on the pod where that is allowed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from sockproxy.agent.api import ApiError, ApiState, Cluster
from sockproxy.agent.conditions import Condition, Reason
from sockproxy.agent.follow import Followed
from sockproxy.agent.pods import Pod
from sockproxy.agent.reconcile import Step

__all__ = ["Report", "counted"]

MOST_EVENTS = 20  # in one step: what many pods have alike is in the log


class Report:
    """What was told last, so that it is told once."""

    def __init__(self, cluster: Cluster, tell: Callable[[str], None]) -> None:
        self._cluster, self._tell = cluster, tell
        self._server: tuple[ApiState, str] = (ApiState.ASKED, "")
        self._conditions: dict[str, Condition] = {}
        self._failed: set[str] = set()
        self._makes_events = True

    def follow(self, now: Followed) -> None:
        """How it stands with the API server."""
        if (now.state, now.why) != self._server:
            self._server = (now.state, now.why)
            why = f": {now.why}; pods keep what they have" if now.why else ""
            self._tell(f"API server {now.state}{why}")

    def step(self, pods: Collection[Pod], step: Step) -> None:
        """How it stands with the pods, and with bypasses that have none any more."""
        events = MOST_EVENTS
        for pod in pods:
            condition = step.conditions[pod.uid]
            if condition == self._conditions.get(pod.uid):
                continue
            self._tell(f"pod {pod}: {condition.reason}: {condition.told}")
            if events and condition.reason is not Reason.PENDING:
                events -= 1
                self._make_event(pod, condition)
        self._conditions = dict(step.conditions)
        for line in step.failed:
            if line not in self._failed:
                self._tell(line)
        self._failed = set(step.failed)

    def _make_event(self, pod: Pod, condition: Condition) -> None:
        if not self._makes_events:
            return
        try:
            self._cluster.tell(pod, condition)
        except ApiError as error:
            self._makes_events = error.state is not ApiState.REFUSED
            more = "" if self._makes_events else "; none is made from now on"
            self._tell(f"{error}{more}")


def counted(conditions: Mapping[str, Condition]) -> dict[Reason, int]:
    """How many pods have each reason; all reasons are there."""
    found = dict.fromkeys(Reason, 0)
    for each in conditions.values():
        found[each.reason] += 1
    return found

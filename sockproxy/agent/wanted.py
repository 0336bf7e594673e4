"""What the annotations of pods ask for: which bypass with which cgroups, and who gets none, why."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sockproxy.agent.conditions import Condition, Reason
from sockproxy.agent.groups import find_pod
from sockproxy.agent.pods import Pod, bypass_name
from sockproxy.errors import UsageError

__all__ = ["Wanted", "decide"]


@dataclass(slots=True)
class Wanted:
    """cgroups: of each NAME, directories by id. members: of each NAME, the uids of its pods that
    have one. conditions: of the other pods, by uid."""

    cgroups: dict[str, dict[int, Path]] = field(default_factory=dict)
    members: dict[str, list[str]] = field(default_factory=dict)
    conditions: dict[str, Condition] = field(default_factory=dict)


def decide(pods: Iterable[Pod], attached: Collection[str], root: Path, most: int) -> Wanted:
    """What is wanted now.

    attached: NAMEs that are there, which come first: no flood of others drives them out. most:
    NAMEs at once. root: as find_pod() takes it.
    """
    wanted = Wanted()
    asked: dict[str, list[Pod]] = {}
    for pod in pods:
        try:
            asked.setdefault(bypass_name(pod), []).append(pod)
        except UsageError as error:
            wanted.conditions[pod.uid] = Condition(Reason.BAD_NAME, str(error))
    for name in sorted(asked, key=lambda name: name not in attached):  # else as they came
        for pod in asked[name]:
            _place(pod, name, wanted, root, most)
    return wanted


def _place(pod: Pod, name: str, wanted: Wanted, root: Path, most: int) -> None:
    if name not in wanted.cgroups and len(wanted.cgroups) >= most:
        told = f"this node has {most} bypasses, and no room for {name}; raise --max-names"
        wanted.conditions[pod.uid] = Condition(Reason.TOO_MANY, told)
        return
    try:
        path = find_pod(pod.group, root)
        number = path.stat().st_ino if path else None
    except OSError:  # it has gone meanwhile
        path, number = None, None
    if path is None or number is None:
        told = "its cgroup is not there: the pod begins or ends"
        wanted.conditions[pod.uid] = Condition(Reason.PENDING, told)
        return
    wanted.cgroups.setdefault(name, {})[number] = path
    wanted.members.setdefault(name, []).append(pod.uid)

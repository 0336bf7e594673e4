"""What the agent reads of a pod, and nothing else of it: whoever may make pods has written it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sockproxy.errors import UsageError
from sockproxy.rundir.sight import is_name
from sockproxy.text import shortened

__all__ = ["ANNOTATION", "PREFIX", "Pod", "bypass_name", "read_pod"]

ANNOTATION = "sockproxy.io/bypass"
PREFIX = "k8s-"
"""Before what the annotation says, in the NAMEs of the agent's bypasses: it touches no others."""
MOST_SHOWN = 80  # characters of an annotation that is refused
ENDED = ("Succeeded", "Failed")
MIRROR = "kubernetes.io/config.mirror"
"""Has the uid of the static pod whose mirror a pod is: a hash of its manifest."""
_HASH = re.compile(r"[0-9a-f]{32}")
_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PART = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of this node that asks for a bypass and has not ended.

    uid: as the API server gave it. asked: what its annotation says, as it is there. group: the uid
    that its cgroup is called by, which is another one where a manifest on the node made the pod.
    """

    uid: str
    namespace: str
    name: str
    asked: str
    group: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def read_pod(raw: Mapping[str, Any]) -> Pod | None:
    """The pod in an answer of the API server; None for one that asks for nothing, has ended, or is
    nothing that an API server would say."""
    try:
        about = raw["metadata"]
        annotations, status = about.get("annotations") or {}, raw.get("status", {})
        asked, group = annotations.get(ANNOTATION), about["uid"]
        ended = status.get("phase") in ENDED
        if MIRROR in annotations:
            group = _static_uid(annotations[MIRROR], status)
        pod = Pod(about["uid"], about["namespace"], about["name"], asked or "", group)
        is_sound = _UID.fullmatch(pod.uid) and all(map(_PART.fullmatch, (pod.namespace, pod.name)))
    except (AttributeError, KeyError, TypeError):
        return None
    return pod if is_sound and group and isinstance(asked, str) and not ended else None


def _static_uid(said: str, status: Mapping[str, Any]) -> str:
    """The uid of the static pod that a pod mirrors; "" where none is known yet.

    Whoever may make pods can say that one is a mirror, and name a static pod that is not his: only
    the kubelet gives a pod a status, and it gives one to the mirrors that it has made.
    """
    return said if status.get("startTime") and _HASH.fullmatch(said) else ""


def bypass_name(pod: Pod) -> str:
    """The NAME of the bypass that a pod asks for. Raises UsageError for what can be none."""
    name = f"{PREFIX}{pod.asked}"
    if not pod.asked or not is_name(name):
        shown = shortened(pod.asked, MOST_SHOWN)
        raise UsageError(
            f"annotation {ANNOTATION}: {shown!r}",
            hint=f"use up to {64 - len(PREFIX)} letters, digits, '_' and '-'",
        )
    return name

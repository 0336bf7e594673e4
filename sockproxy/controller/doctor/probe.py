"""The shape of a probe, and of what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from importlib import import_module

__all__ = ["BYPASS", "ENROL", "KERNEL", "MECHANISMS", "SPLICE", "VERDICT_ONLY", "Finding",
           "Kind", "Probe"]  # fmt: skip

SPLICE, ENROL, VERDICT_ONLY = "splice", "sock_ops enrolment", "splice, verdict only"
BYPASS = "bypass"
MECHANISMS = (SPLICE, ENROL, BYPASS, VERDICT_ONLY)
KERNEL = "use a kernel with CONFIG_BPF_STREAM_PARSER, CONFIG_CGROUP_BPF and CONFIG_DEBUG_INFO_BTF"


class Kind(IntEnum):
    """In the order of their turns."""

    HAS = 1
    LOADS = 2
    DOES = 3
    BUG = 4


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing to try.

    run: returns what was found, or raises when it does not hold.
    needed_by: the mechanisms that are off without it.
    limits: mechanisms that are on without it, and what they then do not do.
    hint: what the user can do about a failure.
    kind: when its turn is: what the machine has, what loads, what it does, bugs it may have.
    """

    name: str
    run: Callable[[], str]
    hint: str
    kind: Kind
    needed_by: tuple[str, ...] = ()
    limits: Mapping[str, str] = field(default_factory=dict)

    @property
    def about(self) -> str:
        """What it tries and why, for people: the words of its module."""
        return str(import_module(self.run.__module__).__doc__ or self.name).strip()


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one probe. hint: what to do about it, where the failure itself knows."""

    probe: Probe
    ok: bool
    found: str
    hint: str | None = None
    log: str | None = None

    @property
    def advice(self) -> str:
        """What to do about a failure; empty when there is none."""
        return "" if self.ok else self.hint or self.probe.hint

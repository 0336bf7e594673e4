"""The shape of a probe, and of what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from importlib import import_module

__all__ = ["KERNEL", "Finding", "Kind", "Probe"]

AGAIN = "this says nothing about the kernel: try again when the machine is less busy"

KERNEL = "use a kernel with CONFIG_BPF_STREAM_PARSER, CONFIG_CGROUP_BPF and CONFIG_DEBUG_INFO_BTF"


class Kind(IntEnum):
    """In the order of their turns."""

    HAS = 1
    GATE = 2
    LOADS = 3
    DOES = 4
    BUG = 5


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing to try.

    run: returns what was found, or raises when it does not hold.
    needed_by: the mechanisms that are off without it.
    limits: mechanisms that are on without it, and what they then do not do.
    avoided: how every mechanism stays clear of the bug, where its failure has no consequence.
    hint: what the user can do about a failure.
    kind: when its turn is: what the machine has; bugs told by the kernel's version, as to try
        them out could crash it; what loads; what works; bugs that can be tried.
    """

    name: str
    run: Callable[[], str]
    hint: str
    kind: Kind
    needed_by: tuple[str, ...] = ()
    limits: Mapping[str, str] = field(default_factory=dict)
    avoided: str = ""

    @property
    def about(self) -> str:
        """What it tries and why, for people: the words of its module."""
        return str(import_module(self.run.__module__).__doc__ or self.name).strip()


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one probe.

    hint: what to do about it, where the failure itself knows. tried: False where an earlier
    probe has switched off all that this one concerns. conclusive: False where nothing was found
    out, as the machine was short of time, memory or descriptors; ok is False then, too. lasts:
    False where it may be otherwise a minute later, and so must not be kept until the boot.
    """

    probe: Probe
    ok: bool
    found: str
    hint: str | None = None
    log: str | None = None
    tried: bool = True
    conclusive: bool = True
    lasts: bool = True

    @property
    def advice(self) -> str | None:
        """What to do about a failure; None when there is none."""
        if self.ok or not self.tried:
            return None
        return (self.hint or self.probe.hint) if self.conclusive else AGAIN

"""The shape of a probe, of the kernel's commits that it is about, and of what came of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from sockproxy.doctor.trial import Trial

__all__ = ["KERNEL", "Commit", "Finding", "Kind", "Probe", "probe"]

AGAIN = "this says nothing about the kernel: try again when the machine is less busy"

KERNEL = "use a kernel with CONFIG_BPF_STREAM_PARSER, CONFIG_CGROUP_BPF and CONFIG_DEBUG_INFO_BTF"


class Kind(IntEnum):
    """What a probe looks at, in the order in which they are tried."""

    HAS = 1  # what the machine has
    GATE = 2  # bugs told by the kernel's version, as to try them out could crash the machine
    LOADS = 3  # programs that the kernel loads
    DOES = 4  # what works
    BUG = 5  # bugs that can be tried


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit of Linux that brought a bug, or mended it.

    name: the first 12 digits of its hash at kernel.org, or the CVE where that has one in each
    branch. subject: its title. versions: the releases that have it, as far as they are known;
    else the month in which it was made.
    """

    name: str
    subject: str
    versions: str


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing to try: made by the decorator probe().

    run: returns what was found, or raises when it does not hold.
    hint: what the user can do about a failure.
    kind: when its turn is.
    needed_by: the mechanisms that are off without it.
    limits: mechanisms that are on without it, and what they then do not do.
    avoided: how every mechanism stays clear of the bug, where its failure has no consequence.
    about: what it tries and why, for people.
    brought_by, mended_by: the commits of a bug of the kernel.
    """

    name: str
    run: Callable[[Trial], str]
    hint: str
    kind: Kind
    needed_by: tuple[str, ...] = ()
    limits: Mapping[str, str] = field(default_factory=dict)
    avoided: str = ""
    about: str = ""
    brought_by: tuple[Commit, ...] = ()
    mended_by: tuple[Commit, ...] = ()


def probe(
    name: str,
    kind: Kind,
    hint: str,
    *,
    needed_by: tuple[str, ...] = (),
    limits: Mapping[str, str] | None = None,
    avoided: str = "",
    brought_by: tuple[Commit, ...] = (),
    mended_by: tuple[Commit, ...] = (),
) -> Callable[[Callable[[Trial], str]], Probe]:
    """Make a Probe of a function, whose docstring `doctor --explain` shows."""

    def make(run: Callable[[Trial], str]) -> Probe:
        about = inspect.cleandoc(run.__doc__ or "")
        return Probe(
            name, run, hint, kind, needed_by, limits or {}, avoided, about, brought_by, mended_by
        )

    return make


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

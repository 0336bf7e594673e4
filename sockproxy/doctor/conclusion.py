"""What follows from findings: a proof of each mechanism, and what of it is kept until the boot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sockproxy.doctor.examine import PATIENCE
from sockproxy.doctor.probe import Finding, Kind
from sockproxy.proof.ask import keep
from sockproxy.proof.mechanisms import MECHANISMS
from sockproxy.proof.proof import Proof

__all__ = ["Conclusion", "conclude", "latest", "proofs"]


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What an examination came to.

    findings: of each probe the one that holds, in the order of their turns. proofs: of every
    mechanism. kept: the file in which those are that last; None if nothing is kept.
    """

    findings: list[Finding]
    proofs: dict[str, Proof]
    kept: Path | None


def conclude(findings: Iterable[Finding], patience: float) -> Conclusion:
    """Draw what follows from all findings of an examination, and keep it for others.

    patience: seconds that each probe had; with less than usual nothing is kept, as a hasty
    examination must not decide for who comes later.
    """
    holding = latest(findings)
    proved = proofs(holding)
    return Conclusion(holding, proved, keep(proved) if patience >= PATIENCE else None)


def latest(findings: Iterable[Finding]) -> list[Finding]:
    """Of each probe the finding that holds: its last."""
    return list({each.probe.name: each for each in findings}.values())


def proofs(findings: Iterable[Finding]) -> dict[str, Proof]:
    """What findings prove of each mechanism: of all in MECHANISMS, by name."""
    failed = [each for each in latest(findings) if each.tried and not each.ok]
    return {name: _proof(name, failed) for name in MECHANISMS}


def _proof(mechanism: str, failed: Sequence[Finding]) -> Proof:
    needed = [each for each in failed if mechanism in each.probe.needed_by]
    # A limit that was not found out is taken for one, as it does no harm to have too many.
    limiting = [each for each in failed if mechanism in each.probe.limits]
    off = [each for each in needed if each.conclusive]
    return Proof(
        {each.probe.name: each.found for each in off},
        {each.probe.name: each.probe.limits[mechanism] for each in limiting},
        {each.probe.name: each.found for each in needed if not each.conclusive},
        any(map(_lasts, off)) if off else all(map(_lasts, [*needed, *limiting])),
    )


def _lasts(finding: Finding) -> bool:
    # What the machine lacks may be there a minute later; the kernel stays until the boot.
    return finding.lasts and finding.probe.kind > Kind.HAS

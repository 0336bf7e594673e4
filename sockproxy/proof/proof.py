"""What doctor found of one mechanism: a proof that it is safe here, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sockproxy.proof.mechanisms import MECHANISMS

__all__ = ["RIGHTS", "Proof", "from_document", "to_document"]

RIGHTS = "capabilities"  # the name of the probe that fails for want of rights
KEY = "verdicts"  # of a document that has proofs; kept from before they were called so


@dataclass(frozen=True, slots=True)
class Proof:
    """What the probes of one mechanism found (a bypass's maps have another: bpf.abi.Proof).

    failed: the failed probes that the mechanism needs, and what each found. limits: other failed
    probes, and what the mechanism does not do because of each. unknown: probes that it needs of
    which nothing was found out, and why not. lasts: whether all this holds until the next boot.
    """

    failed: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
    lasts: bool = True

    @property
    def on(self) -> bool:
        """Whether the mechanism can be used, with its limits if it has any."""
        return not self.failed and not self.unknown

    @property
    def known(self) -> bool:
        """Whether it was found out; a mechanism of which it was not is neither on nor off."""
        return bool(self.failed) or not self.unknown

    @property
    def lacks_rights(self) -> bool:
        """Whether the mechanism is off for want of capabilities, not for what the kernel is."""
        return RIGHTS in self.failed

    @property
    def why_not(self) -> str:
        """The probe that failed, or found nothing out, and its words; "" where all is proved."""
        for name, found in (self.failed or self.unknown).items():
            others = len(self.failed or self.unknown) - 1
            return f"{name}: {found}" + (f" (and {others} more)" if others else "")
        return ""


def to_document(proofs: Mapping[str, Proof]) -> dict[str, Any]:
    """Proofs by their mechanism, as an object for JSON that from_document() reads."""
    return {KEY: {name: asdict(each) for name, each in proofs.items()}}


def from_document(document: Any) -> dict[str, Proof]:
    """The proofs in a parsed JSON document; none where it has another shape.

    A mechanism that this version does not know is left out.
    """
    try:
        return {
            name: Proof(each["failed"], each["limits"], each["unknown"], each["lasts"])
            for name, each in document[KEY].items()
            if name in MECHANISMS
        }
    except (KeyError, TypeError, AttributeError):  # no proofs; or of another version of us
        return {}

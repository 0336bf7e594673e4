"""How it stands with each pod that asks for a bypass, and with the agent's sources."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Condition", "Reason"]


class Reason(StrEnum):
    """Why a pod stands as it does; a closed set, as it labels metrics and events."""

    BYPASSED = "Bypassed"
    OBSERVED = "Observed"
    PENDING = "NoCgroupYet"
    BAD_NAME = "BadName"
    TOO_MANY = "TooManyNames"
    FAILED = "AttachFailed"

    @property
    def is_well(self) -> bool:
        """Whether nobody has to do anything."""
        return self in (Reason.BYPASSED, Reason.OBSERVED, Reason.PENDING)


@dataclass(frozen=True, slots=True)
class Condition:
    """told: a line for people."""

    reason: Reason
    told: str

"""The names of the mechanisms that are proved, in doctor's output and in recorded results."""

from __future__ import annotations

__all__ = ["BYPASS", "ENROL", "MECHANISMS", "OBSERVE", "SPLICE", "VERDICT_ONLY", "together"]

SPLICE = "splice"
ENROL = "sock_ops enrolment"
BYPASS = "bypass"
OBSERVE = "observe"  # a bypass that pairs and counts, and puts no socket into a sockmap
VERDICT_ONLY = "splice, verdict only"
MECHANISMS = (SPLICE, ENROL, BYPASS, OBSERVE, VERDICT_ONLY)


def together(mechanism: str) -> tuple[str, ...]:
    """The mechanisms to examine with one: who asks about it asks about the others as well."""
    for group in ((SPLICE, ENROL), (BYPASS, OBSERVE)):
        if mechanism in group:
            return group
    return (mechanism,)

"""The mechanisms by their names, as doctor, the refusals and the recorded results have them."""

from __future__ import annotations

__all__ = ["BYPASS", "ENROL", "MECHANISMS", "OBSERVE", "SPLICE", "VERDICT_ONLY", "together"]

SPLICE = "splice"
ENROL = "sock_ops enrolment"
BYPASS = "bypass"
OBSERVE = "observe"  # a bypass that pairs and counts, and puts no socket into a sockmap
VERDICT_ONLY = "splice, verdict only"
MECHANISMS = (SPLICE, ENROL, BYPASS, OBSERVE, VERDICT_ONLY)


def together(mechanism: str) -> tuple[str, ...]:
    """Those that are examined with it, as who asks about one asks about the other."""
    for group in ((SPLICE, ENROL), (BYPASS, OBSERVE)):
        if mechanism in group:
            return group
    return (mechanism,)

"""All probes, by subject: a new one is a function of a module here, named in its PROBES."""

from __future__ import annotations

from sockproxy.doctor.probe import Probe
from sockproxy.doctor.probes import bypass, enrolment, gates, machine, splice

__all__ = ["PROBES"]

SUBJECTS = (machine, gates, splice, enrolment, bypass)


def _turn(probe: Probe) -> tuple[int, str]:
    return probe.kind, probe.name


PROBES = tuple(sorted((probe for each in SUBJECTS for probe in each.PROBES), key=_turn))
"""In the order of their turns."""

"""What this machine can do, and which of the kernel's bugs it has: each probe tries it.

A probe is one module of probes/: plain data and a function. It runs in a process of its own, so
that one which hangs or crashes has failed, and nothing else.
"""

from __future__ import annotations

from sockproxy.doctor.examine import PASSES, PATIENCE, examine, latest, proofs
from sockproxy.doctor.probe import Finding, Kind, Probe
from sockproxy.doctor.probes import PROBES

__all__ = ["PASSES", "PATIENCE", "PROBES", "Finding", "Kind", "Probe", "examine", "latest",
           "proofs"]  # fmt: skip

"""What this machine can do, and which of the kernel's bugs it has: each probe tries it.

A probe runs in a process of its own, so that one which hangs or crashes has failed, and nothing
else. Ask by examine() and conclude(), or as another process does: `python -m sockproxy.doctor`.
"""

from __future__ import annotations

from sockproxy.doctor.conclusion import Conclusion, conclude, latest, proofs
from sockproxy.doctor.examine import PASSES, PATIENCE, examine
from sockproxy.doctor.probe import Commit, Finding, Kind, Probe
from sockproxy.doctor.probes import PROBES

__all__ = [
    "PASSES",
    "PATIENCE",
    "PROBES",
    "Commit",
    "Conclusion",
    "Finding",
    "Kind",
    "Probe",
    "conclude",
    "examine",
    "latest",
    "proofs",
]

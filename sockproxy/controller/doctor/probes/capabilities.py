"""This process has the capabilities that loading and attaching BPF programs need."""

from __future__ import annotations

from pathlib import Path

from sockproxy.controller.doctor.probe import Kind, Probe
from sockproxy.controller.mechanisms import MECHANISMS
from sockproxy.controller.verdicts import RIGHTS
from sockproxy.errors import SockproxyError

__all__ = ["PROBE"]

CAPABILITIES = {12: "CAP_NET_ADMIN", 38: "CAP_PERFMON", 39: "CAP_BPF"}
CAP_SYS_ADMIN = 21


def run() -> str:
    status = Path("/proc/self/status").read_text()
    effective = int(status.split("CapEff:")[1].split()[0], 16)
    if effective >> CAP_SYS_ADMIN & 1:
        return "CAP_SYS_ADMIN"
    missing = [name for bit, name in CAPABILITIES.items() if not effective >> bit & 1]
    if missing:
        raise SockproxyError(f"missing: {', '.join(missing)}")
    return ", ".join(CAPABILITIES.values())


PROBE = Probe(
    RIGHTS,
    run,
    "run as root, or grant CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON",
    Kind.HAS,
    MECHANISMS,
)

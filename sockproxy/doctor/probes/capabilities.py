"""This process has the capabilities that loading and attaching BPF programs need."""

from __future__ import annotations

from sockproxy.bpf import missing_capabilities
from sockproxy.doctor.probe import Kind, Probe
from sockproxy.errors import SockproxyError
from sockproxy.proof.mechanisms import MECHANISMS
from sockproxy.proof.proof import RIGHTS

__all__ = ["PROBE"]


def run() -> str:
    if missing := missing_capabilities():
        raise SockproxyError(f"missing: {', '.join(missing)}")
    return "all that are needed"


PROBE = Probe(
    RIGHTS,
    run,
    "run as root, or grant CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON",
    Kind.HAS,
    MECHANISMS,
)

"""This process has the capabilities that loading and attaching BPF programs need."""

from __future__ import annotations

from sockproxy.controller.doctor.probe import Kind, Probe
from sockproxy.controller.mechanisms import MECHANISMS
from sockproxy.controller.verdicts import RIGHTS
from sockproxy.errors import SockproxyError
from sockproxy.libbpf import missing_capabilities

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

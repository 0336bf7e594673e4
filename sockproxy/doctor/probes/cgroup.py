"""cgroup v2 is mounted: sock_ops programs, and with them bypasses, attach to its groups."""

from __future__ import annotations

from sockproxy.cgroup import find_mount
from sockproxy.doctor.probe import Kind, Probe
from sockproxy.proof.mechanisms import BYPASS, ENROL, OBSERVE

__all__ = ["PROBE"]


def run() -> str:
    return str(find_mount())


PROBE = Probe(
    "cgroup v2",
    run,
    "mount -t cgroup2 none /sys/fs/cgroup/unified",
    Kind.HAS,
    (ENROL, BYPASS, OBSERVE),
)

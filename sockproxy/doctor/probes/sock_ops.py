"""sock_ops attaches to a cgroup, and both ends of a connection made there are enrolled."""

from __future__ import annotations

from sockproxy.doctor.probe import KERNEL, Kind, Probe
from sockproxy.doctor.sockets import enrolling, tcp_pair
from sockproxy.errors import SockproxyError
from sockproxy.proof.mechanisms import ENROL

__all__ = ["PROBE"]


def run() -> str:
    with enrolling() as kernel:
        for sock in tcp_pair():
            sock.close()
        enrolled = kernel.enrolments()["enrolled"]
    if enrolled != 2:
        raise SockproxyError(f"{enrolled} of 2 sockets were enrolled")
    return "attached, both ends of a connection enrolled"


PROBE = Probe("sock_ops", run, KERNEL, Kind.DOES, (ENROL,))

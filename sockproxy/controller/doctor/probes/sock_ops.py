"""sock_ops attaches to a cgroup, and both ends of a connection made there are enrolled."""

from __future__ import annotations

import os

from sockproxy.cgroup import create_owned
from sockproxy.controller.doctor.probe import KERNEL, Kind, Probe
from sockproxy.controller.doctor.sockets import tcp_pair
from sockproxy.controller.mechanisms import ENROL
from sockproxy.errors import SockproxyError
from sockproxy.kernel import SockmapKernel

__all__ = ["PROBE"]


def run() -> str:
    group = create_owned("doctor")
    kernel = None
    try:
        group.enter()
        kernel = SockmapKernel(8)
        fd = group.open()
        kernel.watch_cgroup(fd)
        os.close(fd)
        for sock in tcp_pair():
            sock.close()
        enrolled = kernel.enrolments()["enrolled"]
    finally:
        if kernel is not None:
            kernel.close()
        group.remove()
    if enrolled != 2:
        raise SockproxyError(f"{enrolled} of 2 sockets were enrolled")
    return "attached, both ends of a connection enrolled"


PROBE = Probe("sock_ops", run, KERNEL, Kind.DOES, (ENROL,))

"""The verifier takes the splice's programs, and a sockmap takes parser and verdict."""

from __future__ import annotations

from sockproxy.controller.doctor.probe import KERNEL, Kind, Probe
from sockproxy.controller.mechanisms import ENROL, SPLICE
from sockproxy.kernel import SockmapKernel

__all__ = ["PROBE"]


def run() -> str:
    SockmapKernel(8).close()
    return "sock_ops, stream parser, stream verdict"


PROBE = Probe("programs load", run, KERNEL, Kind.LOADS, (SPLICE, ENROL))

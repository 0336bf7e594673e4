"""libbpf.so.1 can be loaded: what reaches the kernel goes through it."""

from __future__ import annotations

from sockproxy.bpf import load_library, version
from sockproxy.doctor.probe import Kind, Probe
from sockproxy.proof.mechanisms import MECHANISMS

__all__ = ["PROBE"]


def run() -> str:
    load_library()
    return version()


PROBE = Probe(
    "libbpf", run, "install libbpf 1.0 or later (Debian: apt install libbpf1)", Kind.HAS, MECHANISMS
)

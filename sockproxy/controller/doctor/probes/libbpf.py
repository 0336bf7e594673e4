"""libbpf.so.1 can be loaded: what reaches the kernel goes through it."""

from __future__ import annotations

from sockproxy.controller.doctor.probe import Kind, Probe
from sockproxy.controller.mechanisms import MECHANISMS
from sockproxy.libbpf import load_library, version

__all__ = ["PROBE"]


def run() -> str:
    load_library()
    return version()


PROBE = Probe(
    "libbpf", run, "install libbpf 1.0 or later (Debian: apt install libbpf1)", Kind.HAS, MECHANISMS
)

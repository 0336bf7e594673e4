"""The kernel describes its own types (BTF): the BPF programs are fitted to it when they load."""

from __future__ import annotations

from pathlib import Path

from sockproxy.doctor.probe import Kind, Probe
from sockproxy.proof.mechanisms import MECHANISMS

__all__ = ["PROBE"]


def run() -> str:
    return f"{Path('/sys/kernel/btf/vmlinux').stat().st_size} bytes"


PROBE = Probe("kernel BTF", run, "use a kernel with CONFIG_DEBUG_INFO_BTF", Kind.HAS, MECHANISMS)

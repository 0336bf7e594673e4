"""Probes of what the machine has, before a program is loaded: BTF, rights, a cgroup, libbpf."""

from __future__ import annotations

from pathlib import Path

from sockproxy.bpf import load_library, missing_capabilities, version
from sockproxy.cgroup import find_mount
from sockproxy.doctor.probe import Kind, probe
from sockproxy.doctor.trial import Trial
from sockproxy.errors import SockproxyError
from sockproxy.proof.mechanisms import BYPASS, ENROL, MECHANISMS, OBSERVE
from sockproxy.proof.proof import RIGHTS

__all__ = ["PROBES"]


@probe(
    RIGHTS,
    Kind.HAS,
    "run as root, or grant CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON",
    needed_by=MECHANISMS,
)
def capabilities(_: Trial) -> str:
    """This process has the capabilities that loading and attaching BPF programs need."""
    if missing := missing_capabilities():
        raise SockproxyError(f"missing: {', '.join(missing)}")
    return "all that are needed"


@probe("kernel BTF", Kind.HAS, "use a kernel with CONFIG_DEBUG_INFO_BTF", needed_by=MECHANISMS)
def btf(_: Trial) -> str:
    """
    The kernel describes its own types (BTF): the BPF programs are fitted to it when they load.
    """
    return f"{Path('/sys/kernel/btf/vmlinux').stat().st_size} bytes"


@probe(
    "cgroup v2",
    Kind.HAS,
    "mount -t cgroup2 none /sys/fs/cgroup/unified",
    needed_by=(ENROL, BYPASS, OBSERVE),
)
def cgroup(_: Trial) -> str:
    """cgroup v2 is mounted: sock_ops programs, and with them bypasses, attach to its groups."""
    return str(find_mount())


@probe(
    "libbpf",
    Kind.HAS,
    "install libbpf 1.0 or later (Debian: apt install libbpf1)",
    needed_by=MECHANISMS,
)
def libbpf(_: Trial) -> str:
    """libbpf.so.1 can be loaded: what reaches the kernel goes through it."""
    load_library()
    return version()


PROBES = (capabilities, btf, cgroup, libbpf)

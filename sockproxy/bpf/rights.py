"""What a process needs to load and attach BPF programs."""

from __future__ import annotations

from pathlib import Path

__all__ = ["is_filtered", "missing_capabilities"]

CAPABILITIES = {12: "CAP_NET_ADMIN", 38: "CAP_PERFMON", 39: "CAP_BPF"}
CAP_SYS_ADMIN = 21
FIRST_USER_NAMESPACE = 0xEFFFFFFD  # PROC_USER_INIT_INO: the kernel's own number for it
SECCOMP_FILTER = 2


def missing_capabilities() -> list[str]:
    """The names of those that this process lacks; CAP_SYS_ADMIN stands for all.

    The kernel asks for them in the first user namespace: root of another one has none.
    """
    if _namespace() != FIRST_USER_NAMESPACE:
        return list(CAPABILITIES.values())
    effective = int(_status("CapEff"), 16)
    if effective >> CAP_SYS_ADMIN & 1:
        return []
    return [name for bit, name in CAPABILITIES.items() if not effective >> bit & 1]


def is_filtered() -> bool:
    """Whether a seccomp filter stands before the kernel, and may refuse in its place."""
    return _status("Seccomp") == str(SECCOMP_FILTER)


def _namespace() -> int:
    try:
        return Path("/proc/self/ns/user").stat().st_ino
    except OSError:  # a kernel without user namespaces
        return FIRST_USER_NAMESPACE


def _status(field: str) -> str:
    """One field of /proc/self/status; "0" where this kernel has none of that name."""
    _, found, rest = Path("/proc/self/status").read_text().partition(f"\n{field}:")
    return rest.split()[0] if found else "0"

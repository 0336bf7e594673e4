"""What a process needs to load and attach BPF programs."""

from __future__ import annotations

from pathlib import Path

__all__ = ["missing_capabilities"]

CAPABILITIES = {12: "CAP_NET_ADMIN", 38: "CAP_PERFMON", 39: "CAP_BPF"}
CAP_SYS_ADMIN = 21


def missing_capabilities() -> list[str]:
    """The names of those that this process lacks; CAP_SYS_ADMIN stands for all."""
    status = Path("/proc/self/status").read_text()
    effective = int(status.split("CapEff:")[1].split()[0], 16)
    if effective >> CAP_SYS_ADMIN & 1:
        return []
    return [name for bit, name in CAPABILITIES.items() if not effective >> bit & 1]

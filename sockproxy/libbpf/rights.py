"""What a process needs to load and attach BPF programs."""

from __future__ import annotations

from pathlib import Path

__all__ = ["missing_capabilities"]

CAPABILITIES = {12: "CAP_NET_ADMIN", 38: "CAP_PERFMON", 39: "CAP_BPF"}
CAP_SYS_ADMIN = 21
EVERY_USER = "0 0 4294967295"  # what user namespace the machine begins with maps: all to itself
PROC = Path("/proc/self")


def missing_capabilities(proc: Path = PROC) -> list[str]:
    """The names of those that this process lacks; CAP_SYS_ADMIN stands for all.

    In a user namespace every capability is over that namespace alone, and none over BPF.
    """
    effective = int((proc / "status").read_text().split("CapEff:")[1].split()[0], 16)
    users = proc / "uid_map"
    if users.exists() and " ".join(users.read_text().split()) != EVERY_USER:
        effective = 0
    if effective >> CAP_SYS_ADMIN & 1:
        return []
    return [name for bit, name in CAPABILITIES.items() if not effective >> bit & 1]

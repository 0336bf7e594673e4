"""Where what runs is found by its NAME: a proxy in /run/sockproxy, a bypass by its pins on a bpffs.

folder.py opens directories that are ours alone; proxies.py has those of proxies. A bypass has no
process: mounts.py finds the bpffs, places.py our directories on them, locks.py decides who may
change a NAME, pins.py keeps what is pinned, sight.py tells which there are, and dead.py
removes what the dead have left of either.
"""

from __future__ import annotations

from sockproxy.rundir.proxies import (
    Name,
    check_name,
    connect,
    is_running,
    running,
    runtime_root,
    take_name,
    users,
)

__all__ = [
    "Name",
    "check_name",
    "connect",
    "is_running",
    "running",
    "runtime_root",
    "take_name",
    "users",
]

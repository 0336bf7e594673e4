"""cgroup v2: where it is mounted, groups of our own, and what dead processes left of them."""

from __future__ import annotations

from sockproxy.cgroup.group import Cgroup, current, find_by_id
from sockproxy.cgroup.mount import find_mount, mount_points
from sockproxy.cgroup.owned import KEPT, create_owned, orphans, sweep
from sockproxy.cgroup.owner import MARK, is_owner_dead, owner_mark

__all__ = [
    "KEPT",
    "MARK",
    "Cgroup",
    "create_owned",
    "current",
    "find_by_id",
    "find_mount",
    "is_owner_dead",
    "mount_points",
    "orphans",
    "owner_mark",
    "sweep",
]

"""Groups that belong to one process of ours, recognised when that process is dead.

They lie in ``sockproxy/`` at the root of the hierarchy and are called ``NAME.MARK``: see owner.py.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from sockproxy.cgroup.group import Cgroup, current, leave_to
from sockproxy.cgroup.mount import find_mount
from sockproxy.cgroup.owner import is_owner_dead, owner_mark
from sockproxy.errors import CgroupError, SockproxyError

__all__ = ["KEPT", "OwnedCgroup", "create_owned", "orphans", "sweep"]

PARENT = "sockproxy"
KEPT = "run@"
"""How the names begin of groups that sweep() leaves: a bypass has to be detached from them first,
which sockproxy.bypass.leftovers does."""
TRIES = 10


class OwnedCgroup(Cgroup):
    """A group of this process. remove() also works from inside it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._before: Cgroup | None = None

    def enter(self, pid: int = 0) -> None:
        if pid == 0:
            self._before = current()
        super().enter(pid)

    def remove(self) -> None:
        if self._before is not None and os.getpid() in self.processes():
            leave_to(self._before)
        super().remove()
        _remove_parent(self.path.parent)


def create_owned(name: str) -> OwnedCgroup:
    """A new group for this process. Raises CgroupError and its kin."""
    parent = Cgroup(find_mount()).child(PARENT)
    path = parent.child(f"{name}.{owner_mark()}").path
    for _ in range(TRIES):
        with contextlib.suppress(CgroupError):  # it exists: another process was first
            parent.create()
        try:
            owned = OwnedCgroup(path)
            owned.create()
        except CgroupError as error:
            if error.errno != errno.ENOENT:
                raise
            continue  # another process has just removed the empty parent
        return owned
    raise CgroupError(f"create the cgroup {path}", hint="other processes keep removing its parent")


def orphans() -> list[Cgroup]:
    """The groups of processes that are dead."""
    parent = Cgroup(find_mount()).child(PARENT)
    paths = sorted(parent.path.glob("*"))
    return [Cgroup(path) for path in paths if path.is_dir() and is_owner_dead(path.name)]


def sweep() -> list[Path]:
    """Remove the groups of processes that are dead, if nothing is inside; which those were."""
    swept = []
    for group in orphans():
        if group.path.name.startswith(KEPT) or group.all_processes():
            continue  # its owner is dead, but somebody lives there
        with contextlib.suppress(SockproxyError):
            group.remove()
            swept.append(group.path)
    _remove_parent(find_mount() / PARENT)
    return swept


def _remove_parent(path: Path) -> None:
    with contextlib.suppress(OSError):  # not empty, or gone
        path.rmdir()

"""Groups that belong to one process of ours, recognised when that process is dead.

They lie in ``sockproxy/`` at the root of the hierarchy and are called
``NAME.PID.STARTTIME``: a pid alone may be another process by now.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path

from sockproxy.cgroup.group import Cgroup, current, leave_to
from sockproxy.cgroup.mount import find_mount
from sockproxy.errors import CgroupError, SockproxyError

__all__ = ["OwnedCgroup", "create_owned", "orphans", "start_time", "sweep"]

PARENT = "sockproxy"
TRIES = 10
_OWNED = re.compile(r".+\.(\d+)\.(\d+)")


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


def start_time(pid: int) -> int | None:
    """When the process began, in clock ticks since boot; None when there is no such one."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field, the command, may hold blanks and brackets.
    return int(stat.rpartition(")")[2].split()[19])


def create_owned(name: str) -> OwnedCgroup:
    """A new group for this process. Raises CgroupError and its kin."""
    parent = Cgroup(find_mount()).child(PARENT)
    pid = os.getpid()
    path = parent.child(f"{name}.{pid}.{start_time(pid)}").path
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
    found = []
    for path in sorted(parent.path.glob("*")):
        name = _OWNED.fullmatch(path.name)
        if name is not None and path.is_dir() and start_time(int(name[1])) != int(name[2]):
            found.append(Cgroup(path))
    return found


def sweep() -> list[Path]:
    """Remove the groups of processes that are dead, if nothing is inside; which those were."""
    swept = []
    for group in orphans():
        if group.all_processes():
            continue  # its owner is dead, but somebody lives there
        with contextlib.suppress(SockproxyError):
            group.remove()
            swept.append(group.path)
    _remove_parent(find_mount() / PARENT)
    return swept


def _remove_parent(path: Path) -> None:
    with contextlib.suppress(OSError):  # not empty, or gone
        path.rmdir()

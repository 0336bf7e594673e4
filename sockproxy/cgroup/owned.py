"""Cgroups that belong to one process, which other processes remove once that one is dead.

They lie in ``sockproxy/`` and are called ``NAME.MARK``, where MARK names the owner: see owner.py.
``sockproxy/`` is below the cgroup that systemd has delegated to this service, if it has, or else at
the root of the hierarchy.
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
DELEGATE = "user.delegate"  # what systemd sets to "1" on the cgroup of a unit with Delegate=yes
KEPT = "run@"
"""The beginning of names that sweep() passes over: a bypass must be detached from such a cgroup
before it is removed, which sockproxy.bypass.leftovers does."""
TRIES = 10


class OwnedCgroup(Cgroup):
    """A cgroup that this process owns. remove() works even while this process is inside: it goes
    back to where it was before enter()."""

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
    """Make a cgroup that this process owns. Raises CgroupError, PermissionDenied without the
    rights, and Unsupported without a writable cgroup v2."""
    # What is attached to a KEPT one outlives its unit, and is looked for at the root.
    parent = _root() if name.startswith(KEPT) else _home()
    path = parent.child(f"{name}.{owner_mark()}").path
    for _ in range(TRIES):
        with contextlib.suppress(CgroupError):  # the parent exists already
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
    """The cgroups whose owners are dead."""
    paths = sorted(path for parent in _parents() for path in parent.glob("*"))
    return [Cgroup(path) for path in paths if path.is_dir() and is_owner_dead(path.name)]


def sweep() -> list[Path]:
    """Remove the cgroups whose owners are dead, but those with processes inside, and those whose
    names begin with KEPT; the paths of what was removed."""
    swept = []
    for group in orphans():
        if group.path.name.startswith(KEPT) or group.all_processes():
            continue  # a process of the dead owner's is still inside
        with contextlib.suppress(SockproxyError):
            group.remove()
            swept.append(group.path)
    for parent in _parents():
        _remove_parent(parent)
    return swept


def _parents() -> set[Path]:
    return {_root().path, _home().path}


def _root() -> Cgroup:
    return Cgroup(find_mount()).child(PARENT)


def _home() -> Cgroup:
    """Where this process makes its own. A service with Delegate=yes stays below its unit, whose
    limits hold for it, and needs no rights elsewhere."""
    inside = current()
    if inside.path.parent.name == PARENT:  # one of ours: others go beside it
        return Cgroup(inside.path.parent)
    try:
        delegated = os.getxattr(inside.path, DELEGATE) == b"1"
    except OSError:  # no such attribute; or of an older kernel, or systemd
        delegated = False
    return inside.child(PARENT) if delegated else _root()


def _remove_parent(path: Path) -> None:
    with contextlib.suppress(OSError):  # it is not empty, or was removed by another process
        path.rmdir()

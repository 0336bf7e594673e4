"""Marks at the end of names, which say what process owns a cgroup or a folder.

A mark is ``PIDNS.PID.STARTTIME``. A pid alone may be another process by now; and containers share a
hierarchy of cgroups or a /tmp, but not their pids.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["MARK", "is_owner_dead", "owner_mark", "start_time"]

MARK = r"\d+\.\d+\.\d+"
_MARKED = re.compile(r".+\.(\d+)\.(\d+)\.(\d+)")
FIRST_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO: the PID namespace that shows all processes
UNTOLD = -1
PROC = Path("/proc")


def owner_mark() -> str:
    """The mark of this process."""
    pid = os.getpid()
    return f"{_namespace('self')}.{pid}.{start_time(pid)}"


def is_owner_dead(name: str) -> bool:
    """Whether `name` ends with the mark of a process that has ended.

    False where that cannot be told: for a process of a PID namespace that is hidden from ours.
    """
    if not (found := _MARKED.fullmatch(name)):
        return False
    namespace, pid, began = map(int, found.groups())
    if namespace == _namespace("self"):
        return start_time(pid) != began
    return _has_ended(namespace)


def start_time(pid: int) -> int | None:
    """When the process began, in clock ticks since boot; None when it has ended.

    A zombie, which waits for its parent to reap it, has ended.
    """
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field, the command, may hold blanks and brackets.
    fields = stat.rpartition(")")[2].split()
    state, threads = fields[0], int(fields[17])
    if state in "ZX" and threads <= 1:  # with more, just its first thread has ended
        return None
    return int(fields[19])


def _has_ended(namespace: int) -> bool:
    """Whether no process of the PID namespace is left; False where some processes are hidden from
    this one."""
    if _namespace("self") != FIRST_NAMESPACE:
        return False
    seen = {_namespace(each.name) for each in PROC.glob("[0-9]*") if _is_nested(each)}
    return namespace not in seen and UNTOLD not in seen


def _is_nested(process: Path) -> bool:
    """Whether the process has a pid in a PID namespace below ours as well."""
    try:
        return len((process / "status").read_text().split("\nNSpid:")[1].split("\n")[0].split()) > 1
    except OSError:
        return False  # it has ended


def _namespace(pid: str) -> int:
    """The number of the process's PID namespace; 0 when the process has ended, UNTOLD when this
    process may not look at it."""
    try:
        return int(re.sub(r"\D", "", os.readlink(PROC / pid / "ns" / "pid")))
    except PermissionError:
        return UNTOLD
    except OSError:
        return 0

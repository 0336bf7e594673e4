"""Where cgroup v2, and other file systems, are mounted."""

from __future__ import annotations

import re
from pathlib import Path

from sockproxy.errors import Unsupported

__all__ = ["find_mount", "mount_points"]

MOUNTS = Path("/proc/self/mounts")
_ESCAPE = re.compile(r"\\([0-7]{3})")


def mount_points(kind: str, mounts: Path = MOUNTS) -> list[Path]:
    """Where file systems of this kind are mounted, in the order of the mounts."""
    lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    fields = (line.split(" ") for line in lines)
    # Blanks and the like in a path are written as \040.
    return [
        Path(_ESCAPE.sub(lambda found: chr(int(found[1], 8)), each[1]))
        for each in fields
        if len(each) > 2 and each[2] == kind
    ]


def find_mount(mounts: Path = MOUNTS) -> Path:
    """The first cgroup2 mount: /sys/fs/cgroup where v2 is alone, elsewhere beside v1.

    Raises Unsupported when there is none, or another mount hides it.
    """
    for found in mount_points("cgroup2", mounts):
        if (found / "cgroup.procs").exists():
            return found
    raise Unsupported(
        "find cgroup v2", hint="mount it: mount -t cgroup2 none /sys/fs/cgroup/unified"
    )

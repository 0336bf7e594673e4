"""Where cgroup v2 is mounted."""

from __future__ import annotations

import re
from pathlib import Path

from sockproxy.errors import Unsupported

__all__ = ["find_mount"]

_ESCAPE = re.compile(r"\\([0-7]{3})")


def find_mount(mounts: Path = Path("/proc/self/mounts")) -> Path:
    """The first cgroup2 mount: /sys/fs/cgroup where v2 is alone, elsewhere beside v1.

    Raises Unsupported when there is none.
    """
    for line in mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        fields = line.split(" ")
        if len(fields) > 2 and fields[2] == "cgroup2":
            # Blanks and the like in a path are written as \040.
            return Path(_ESCAPE.sub(lambda found: chr(int(found[1], 8)), fields[1]))
    raise Unsupported(
        "find cgroup v2", hint="mount it: mount -t cgroup2 none /sys/fs/cgroup/unified"
    )

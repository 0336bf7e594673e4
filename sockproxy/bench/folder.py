"""Folders for the files of servers and proxies, and those that a killed run has left."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sockproxy.cgroup import start_time

__all__ = ["own_folder", "sweep_folders"]

PREFIX = "sockproxy-bench-"
# A pid alone may be another process by now.
_OURS = re.compile(PREFIX + r"(\d+)\.(\d+)-.+")


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder that everybody may enter, as some servers give up root; removed at the end."""
    pid = os.getpid()
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{pid}.{start_time(pid)}-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def sweep_folders() -> None:
    """Remove the folders of processes that are dead."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        found = _OURS.fullmatch(path.name)
        if found is None or start_time(int(found[1])) == int(found[2]):
            continue
        with suppress(FileNotFoundError):  # another run was first
            if path.lstat().st_uid == os.geteuid():
                shutil.rmtree(path, ignore_errors=True)

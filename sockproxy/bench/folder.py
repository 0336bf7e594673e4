"""Folders for the files of servers and proxies, and those that a killed run has left."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sockproxy.cgroup import is_owner_dead, owner_mark

__all__ = ["own_folder", "sweep_folders"]

PREFIX = "sockproxy-bench-"


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder that everybody may enter, as some servers give up root; removed at the end."""
    with tempfile.TemporaryDirectory(prefix=PREFIX, suffix=f".{owner_mark()}") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def sweep_folders() -> None:
    """Remove the folders of processes that are dead."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(FileNotFoundError):  # another run was first
            if is_owner_dead(path.name) and path.lstat().st_uid == os.geteuid():
                shutil.rmtree(path, ignore_errors=True)

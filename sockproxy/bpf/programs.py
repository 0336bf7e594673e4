"""Executable files as the BPF programs know them: struct program of bpf/abi/bypass.h."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

__all__ = ["Executable", "executable"]

MINOR_BITS = 20  # of the kernel's dev_t; user space has them in another order


class Executable(NamedTuple):
    """inode: of the file. device: that it lies on, as the kernel numbers it."""

    inode: int
    device: int


def executable(path: Path) -> Executable:
    """The file at `path`, links followed. Raises OSError."""
    about = path.stat()
    device = os.major(about.st_dev) << MINOR_BITS | os.minor(about.st_dev)
    return Executable(about.st_ino, device)

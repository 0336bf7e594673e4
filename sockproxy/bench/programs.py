"""Where programs are, and what they say of themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["find_program", "version"]


def find_program(name: str) -> str | None:
    """Where a program is: on the PATH, beside this Python, or where Debian hides it."""
    beside = os.path.dirname(sys.executable)
    hidden = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    places = [os.environ.get("PATH", os.defpath), beside, "/usr/sbin", "/sbin", *hidden]
    return shutil.which(name, path=os.pathsep.join(places))


def version(argv: Sequence[str]) -> str | None:
    """The first line that a program says of itself; None when it is not there or fails."""
    program = find_program(argv[0])
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *argv[1:]], capture_output=True, text=True, errors="replace", timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = (done.stdout or done.stderr).strip().splitlines()
    # Some begin with the path that they were called by.
    return lines[0].replace(program, argv[0]).strip() if lines else None

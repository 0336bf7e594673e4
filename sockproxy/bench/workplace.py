"""What a run needs of the file system: scenarios and peers, programs, folders of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sockproxy.cgroup import is_owner_dead, owner_mark

__all__ = ["data_folder", "find_program", "own_folder", "sweep_folders", "version"]

PREFIX = "sockproxy-bench-"
VERSION_TIME = 10.0  # seconds that a program may take to print its version
_INSTALLED = Path(__file__).with_name("data")
_CHECKOUT = Path(__file__).resolve().parents[2] / "bench"


def data_folder() -> Path:
    """The folder of `scenarios/` and `peers/`: in a wheel inside the package, else bench/."""
    return _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT


def find_program(name: str) -> str | None:
    """The path of a program: on the PATH, beside this Python, or where Debian hides it.

    None when it is not installed.
    """
    beside = os.path.dirname(sys.executable)
    hidden = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    places = [os.environ.get("PATH", os.defpath), beside, "/usr/sbin", "/sbin", *hidden]
    return shutil.which(name, path=os.pathsep.join(places))


def version(argv: Sequence[str]) -> str | None:
    """The first line that a program prints about its version.

    argv: what makes it print that. None when the program is not installed or fails.
    """
    program = find_program(argv[0])
    if program is None:
        return None
    command = [program, *argv[1:]]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=VERSION_TIME
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = (done.stdout or done.stderr).strip().splitlines()
    # Some programs print the path that they were started by, which is this machine's affair.
    return lines[0].replace(program, argv[0]).strip() if lines else None


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder for the files of servers and proxies, removed at the end of the `with`.

    Everybody may enter it, as some servers give up root.
    """
    with tempfile.TemporaryDirectory(prefix=PREFIX, suffix=f".{owner_mark()}") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def sweep_folders() -> None:
    """Remove the folders that runs of dead processes have left."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(FileNotFoundError):  # another run has removed it first
            if is_owner_dead(path.name) and path.lstat().st_uid == os.geteuid():
                shutil.rmtree(path, ignore_errors=True)

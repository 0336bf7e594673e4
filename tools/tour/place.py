"""Where the tour happens: file systems and cgroups that nobody else sees, and that end with it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

__all__ = ["CGROUPS", "HOME", "arrange", "group", "need"]

HOME = Path("/run/tour")
CGROUPS = Path("/sys/fs/cgroup")
BIN = Path("/usr/local/sbin")  # of which nobody needs anything here
NEEDED = (
    *("chromium", "prometheus", "redis-server", "redis-cli", "nginx", "curl", "tshark"),
    *("redis-benchmark", "haproxy"),
)


def need(programs: tuple[str, ...] = NEEDED) -> None:
    """End with one line where a program is missing."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    folders = [Path(each) for each in path.split(":") if each]
    missing = [each for each in programs if not any((one / each).exists() for one in folders)]
    if missing:
        raise SystemExit(f"tour: not installed: {', '.join(missing)}; tools/setup-debian tour")


def arrange(command: Path) -> None:
    """Mount what the tour writes to, and let its programs find it. command: sockproxy's.

    This process has a mount namespace and a cgroup of its own, which tools/enclose made.
    """
    # What pictures show is where it is on most machines, whatever this one has.
    _run("umount", "-R", str(CGROUPS))
    _run("mount", "-t", "cgroup2", "none", str(CGROUPS))
    for folder in (Path("/var/log"), BIN):
        _run("mount", "-t", "tmpfs", "-o", "mode=755", "none", str(folder))
    (BIN / "sockproxy").symlink_to(command)
    HOME.mkdir()
    os.chdir(HOME)
    os.environ.update(HOME=str(HOME), TMPDIR=str(HOME), MPLCONFIGDIR=str(HOME), LC_ALL="C.UTF-8")
    os.environ["PATH"] = f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin"
    for name in [each for each in os.environ if each.startswith("SOCKPROXY_")]:
        del os.environ[name]


def group(name: str) -> None:
    """Make a cgroup."""
    (CGROUPS / name).mkdir()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"tour: {' '.join(command)}: {done.stderr.strip()}")

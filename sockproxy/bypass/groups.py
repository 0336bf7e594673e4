"""The cgroups that bypasses are attached to: by path, by systemd unit, by number."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Collection
from pathlib import Path

from sockproxy.bpf.bypass import Bypass
from sockproxy.cgroup import find_by_id, find_mount
from sockproxy.errors import SockproxyError, UsageError
from sockproxy.text import shortened

__all__ = ["cgroup_names", "check_apart", "is_orphaned", "resolve_cgroup", "unit_cgroup"]

SYSTEMD_TIME = 10.0  # seconds that systemd has to answer
MOST_SHOWN = 200  # characters of a path that leads nowhere


def resolve_cgroup(path: Path) -> Path:
    """The directory that a path leads to, if it is one of the cgroup v2 hierarchy: without links
    and '..', which may lead out of it. Raises UsageError."""
    mount = find_mount()
    hint = f"name a directory of {mount}"
    try:
        found = path.resolve(strict=True)
        about = found.stat()
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        shown = shortened(str(path), MOST_SHOWN)
        number = error.errno if isinstance(error, OSError) else errno.ELOOP
        raise UsageError(f"cgroup {shown}", errno=number, hint=hint) from None
    is_inside = mount.resolve() in (found, *found.parents) and found.is_dir()
    if not is_inside or about.st_dev != mount.stat().st_dev:
        raise UsageError(f"cgroup {found}", hint=hint)
    return found


def check_apart(paths: Collection[Path]) -> None:
    """Raises UsageError where one of these cgroups lies in another: each socket of the inner one
    would enter twice."""
    for path in paths:
        if outer := next((each for each in path.parents if each in paths), None):
            raise UsageError(f"cgroup {path}: it lies in {outer}", hint="name the outer one alone")


def unit_cgroup(unit: str) -> Path:
    """The cgroup of a systemd unit or slice. Raises SockproxyError."""
    argv = ["systemctl", "show", "--property=ControlGroup", "--value", "--", unit]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=SYSTEMD_TIME)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SockproxyError(f"ask systemd for {unit}: {error}", hint="use --cgroup") from None
    path = done.stdout.strip()
    if done.returncode or not path:
        why = done.stderr.strip() or "it has no cgroup: it does not run"
        raise SockproxyError(f"find the cgroup of {unit}: {why}", hint="start it, or use --cgroup")
    return find_mount() / path.lstrip("/")


def cgroup_names(ids: Collection[int]) -> dict[int, str]:
    """What to call each of these cgroups, which are given by their inode numbers."""
    found = find_by_id(ids)
    return {
        each: str(found[each].path) if each in found else f"removed (id {each})" for each in ids
    }


def is_orphaned(name: str) -> bool:
    """Whether the cgroups that NAME is attached to have been removed. Raises UsageError where NAME
    is not attached."""
    with Bypass(name) as bypass:
        return not find_by_id(bypass.cgroups())

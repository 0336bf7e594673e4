"""Bypasses: attach to a cgroup, change, detach, and tell what they see."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import psutil

from sockproxy.cgroup import Cgroup, find_by_id, find_mount
from sockproxy.errors import SockproxyError, UsageError
from sockproxy.kernel import pins
from sockproxy.kernel.bypass import MOST_RULES, Bypass, Connection, Settings, create
from sockproxy.kernel.layout import Plain
from sockproxy.net.rules import Rule

__all__ = ["attach", "bypass_connections", "bypass_status", "detach", "names", "unit_cgroup"]

SYSTEMD_TIME = 10.0  # seconds that systemd has to answer

names = pins.names

WHY = {
    Plain.PEER_UNSEEN: "the other end is not on this host, or not in the cgroup",
    Plain.POLICY: "denied by a rule",
    Plain.MULTIPATH: "MPTCP",
    Plain.AMBIGUOUS: "two connections had the same numbers",
}


def attach(name: str, cgroup: Path, rules: Sequence[Rule]) -> str:
    """Attach NAME to a cgroup, or give the NAME that is attached there other rules.

    Returns "attached" or "changed". Raises UsageError and its kin; nothing is left
    behind then.
    """
    pins.check_name(name)
    if len(rules) > MOST_RULES:
        raise UsageError(f"{len(rules)} rules", hint=f"at most {MOST_RULES} are possible")
    group = Cgroup(cgroup)
    if find_mount() not in (cgroup, *cgroup.parents) or not cgroup.is_dir():
        raise UsageError(f"cgroup {cgroup}", hint=f"name a directory of {find_mount()}")
    with pins.locked() as place:
        if name in pins.names():
            with Bypass(name) as bypass:
                attached = bypass.settings().cgroup
                if attached != group.id:
                    where = _cgroup_paths({attached})[attached]
                    raise UsageError(
                        f"{name} is attached to {where}", hint=f"sockproxy detach {name} first"
                    )
                bypass.change(rules)
            return "changed"
        fd = group.open()
        try:
            create(name, place, fd, Settings(time.monotonic(), group.id, tuple(rules)))
        finally:
            os.close(fd)
    return "attached"


def detach(name: str) -> bool:
    """Detach NAME and remove every trace; False when there was none."""
    pins.check_name(name)
    if name not in pins.names():
        return False  # without the lock, which would mount a bpffs for it
    with pins.locked() as place:
        if name not in pins.names():
            return False
        pins.remove(place / name)
    return True


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


def bypass_status(name: str) -> dict[str, Any]:
    """What NAME is and did, as `status --json` shows it. age is in seconds."""
    with Bypass(name) as bypass:
        settings = bypass.settings()
        return {
            "name": name,
            "cgroup": _cgroup_paths({settings.cgroup})[settings.cgroup],
            "mode": "observe",
            "age": time.monotonic() - settings.since,
            "rules": [str(rule) for rule in settings.rules],
            **bypass.totals(),
        }


def bypass_connections(name: str) -> dict[str, Any]:
    """Every enrolled socket of NAME, as `connections --json` shows it."""
    with Bypass(name) as bypass:
        found = bypass.connections()
    owners = _owners({each.inode for each in found})
    groups = _cgroup_paths({each.cgroup for each in found})
    now = time.monotonic()
    return {
        "name": name,
        "connections": [_line(each, now, owners, groups[each.cgroup]) for each in found],
    }


def _line(
    each: Connection, now: float, owners: dict[int, list[int]], cgroup: str
) -> dict[str, Any]:
    return {
        "cookie": each.cookie,
        "peer": each.peer,
        "local": each.local,
        "remote": each.remote,
        "role": each.role.name.lower(),
        "state": "plain" if each.peer is None else "paired",
        "why": "observing" if each.peer is not None else WHY[each.plain],
        "age": now - each.since,
        "bytes_sent": each.bytes_sent,
        "bytes_received": each.bytes_received,
        "cgroup": cgroup,
        "netns": each.netns,
        "processes": owners.get(each.inode, []),
    }


def _cgroup_paths(ids: set[int]) -> dict[int, str]:
    """What to call each of these cgroups."""
    found = find_by_id(ids)
    return {
        each: str(found[each].path) if each in found else f"removed (id {each})" for each in ids
    }


def _owners(inodes: Iterable[int]) -> dict[int, list[int]]:
    """Which processes have each socket open, by the inode of its file."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes if inode}
    owners: dict[int, list[int]] = {}
    for pid in psutil.pids() if wanted else ():
        try:
            links = {os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()}
        except OSError:  # it has ended meanwhile
            continue
        for link in links & wanted.keys():
            owners.setdefault(wanted[link], []).append(pid)
    return owners

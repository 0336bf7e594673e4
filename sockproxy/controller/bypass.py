"""Bypasses: attach to a cgroup, change, detach without losing a byte."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sockproxy.cgroup import Cgroup, find_by_id, find_mount
from sockproxy.controller.left_alone import listening, must_be_left_alone
from sockproxy.controller.mechanisms import BYPASS, OBSERVE
from sockproxy.controller.verdicts import verdict, why_off
from sockproxy.errors import PermissionDenied, SockproxyError, Unsupported, UsageError
from sockproxy.kernel import pins
from sockproxy.kernel.attach import CONNECTIONS, create
from sockproxy.kernel.bypass import MOST_RULES, Bypass, Connection, Settings
from sockproxy.kernel.layout import Mode
from sockproxy.net.rules import Rule

__all__ = ["Attached", "BypassOptions", "Detached", "attach", "detach", "is_orphaned", "names",
           "unit_cgroup"]  # fmt: skip

SYSTEMD_TIME = 10.0  # seconds that systemd has to answer
POLL = 0.01  # seconds between two looks at what drains
SMALLEST_BUDGET = 4096

names = pins.names


@dataclass(frozen=True, slots=True)
class BypassOptions:
    """rules: which connections. observe: count only. budget: bytes a queue may hold.

    connections: pairs of sockets at once; fixed when NAME is attached.
    programs: names of processes whose sockets stay plain.
    force: bypass even where doctor found that it is not exact.
    """

    rules: Sequence[Rule] = ()
    observe: bool = False
    budget: int = 256 << 10
    connections: int = CONNECTIONS
    programs: Sequence[str] = ()
    force: bool = False


@dataclass(frozen=True, slots=True)
class Attached:
    """What came of an attach.

    changed: NAME was attached, and has other options now. observes: nothing is bypassed.
    why_not: why not, where a bypass was asked for.
    """

    changed: bool
    observes: bool
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Detached:
    """What came of a detach. left: sockets that still hold what was bypassed to them."""

    was_attached: bool
    left: Sequence[Connection] = ()
    drained: bool = True


def attach(name: str, cgroup: Path, options: BypassOptions) -> Attached:
    """Attach NAME to a cgroup, or give the NAME that is attached there other options.

    Where doctor finds the bypass off, it only observes. Raises UsageError and its kin, and
    Unsupported where not even that is to be had; nothing is left behind then.
    """
    pins.check_name(name)
    if len(options.rules) > MOST_RULES:
        raise UsageError(f"{len(options.rules)} rules", hint=f"at most {MOST_RULES} are possible")
    if not SMALLEST_BUDGET <= options.budget < 1 << 31:
        raise UsageError(f"budget of {options.budget} bytes", hint="use from 4KiB to 2047MiB")
    group = Cgroup(cgroup)
    if find_mount() not in (cgroup, *cgroup.parents) or not cgroup.is_dir():
        raise UsageError(f"cgroup {cgroup}", hint=f"name a directory of {find_mount()}")
    mode, why_not = _allowed_mode(options)
    rules = tuple(options.rules)
    left_alone = must_be_left_alone(proved=not options.force)
    programs = tuple(sorted({*options.programs, *left_alone}))
    with pins.locked() as place:
        if name in pins.names():
            with Bypass(name) as bypass:
                now = bypass.settings()
                if now.cgroup != group.id:
                    raise UsageError(
                        f"{name} is attached to {cgroup_names({now.cgroup})[now.cgroup]}",
                        hint=f"sockproxy detach {name} first",
                    )
                bypass.change(
                    Settings(now.since, now.cgroup, rules, mode, options.budget, programs)
                )
            return Attached(True, mode is Mode.OBSERVE, why_not)
        fd = group.open()
        try:
            settings = Settings(time.monotonic(), group.id, rules, mode, options.budget, programs)
            create(name, place, fd, settings, options.connections, listening(programs))
        finally:
            os.close(fd)
    return Attached(False, mode is Mode.OBSERVE, why_not)


def _allowed_mode(options: BypassOptions) -> tuple[Mode, str]:
    """What this kernel may be asked for, and why not for what was."""
    asked = Mode.OBSERVE if options.observe else Mode.BYPASS
    if options.force:
        return asked, ""
    why_not = "" if options.observe else why_off(BYPASS)
    if asked is Mode.BYPASS and not why_not:
        return asked, ""
    if why_none := why_off(OBSERVE):
        if verdict(OBSERVE).lacks_rights:
            raise PermissionDenied(f"attach a bypass: {why_none}", hint="run as root")
        raise Unsupported(
            f"attach a bypass: {why_not or why_none}",
            hint="connections stay plain TCP; 'sockproxy doctor' tells more, and --force tries it"
            " all the same",
        )
    return Mode.OBSERVE, why_not


def detach(name: str, timeout: float, only: int | None = None) -> Detached:
    """Detach NAME; no byte is lost. What is not read within `timeout` seconds stays.

    What stays is passed on by TCP, and the next call collects it. only: the id of a cgroup;
    a NAME that is attached to another one is left.
    """
    pins.check_name(name)
    if name not in pins.names() and not pins.has_leftovers():
        return Detached(False)  # without the lock, which would mount a bpffs for it
    with pins.locked() as place:
        if name not in pins.names():
            return Detached(False)
        deadline = time.monotonic() + timeout
        with Bypass(name) as bypass:
            if only is not None and bypass.settings().cgroup != only:
                return Detached(False)
            bypass.stop()
            left = bypass.take_out()
            while not bypass.is_drained():
                if time.monotonic() >= deadline:
                    return Detached(True, left, drained=False)
                time.sleep(POLL)
                left = bypass.take_out()
        pins.remove(place / name)
    return Detached(True)


def is_orphaned(name: str) -> bool:
    """Whether the cgroup that NAME is attached to has been removed."""
    with Bypass(name) as bypass:
        cgroup = bypass.settings().cgroup
    return cgroup not in find_by_id({cgroup})


def cgroup_names(ids: set[int]) -> dict[int, str]:
    """What to call each of these cgroups."""
    found = find_by_id(ids)
    return {
        each: str(found[each].path) if each in found else f"removed (id {each})" for each in ids
    }


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

"""Bypasses: attach to a cgroup, change, detach without losing a byte."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sockproxy.cgroup import Cgroup, find_by_id, find_mount
from sockproxy.controller.left_alone import listening, must_be_left_alone
from sockproxy.controller.mechanisms import BYPASS, OBSERVE
from sockproxy.controller.verdicts import find_out, silent, verdict, why_off
from sockproxy.errors import PermissionDenied, SockproxyError, Undecided, Unsupported, UsageError
from sockproxy.kernel import pins
from sockproxy.kernel.attach import CONNECTIONS, create
from sockproxy.kernel.bypass import MOST_RULES, Bypass, Settings
from sockproxy.kernel.layout import Mode
from sockproxy.kernel.listing import Connection
from sockproxy.net.rules import Rule

__all__ = ["Attached", "BypassOptions", "Detached", "attach", "detach", "is_orphaned", "names",
           "unit_cgroup"]  # fmt: skip

SYSTEMD_TIME = 10.0  # seconds that systemd has to answer
POLL = 0.01  # seconds between two looks at what drains
SMALLEST_BUDGET = 4096
TRY_AGAIN = "connections stay plain TCP; try again, or --force to do it without proof"

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
    """What came of a detach.

    left: sockets that still hold what was bypassed to them. unseen: how many more stay, because
    this kernel does not let them be looked at.
    """

    was_attached: bool
    left: Sequence[Connection] = ()
    drained: bool = True
    unseen: int = 0


def attach(
    name: str, cgroup: Path, options: BypassOptions, tell: Callable[[str], None] = silent
) -> Attached:
    """Attach NAME to a cgroup, or give the NAME that is attached there other options.

    tell: receives lines while doctor, which nobody has asked since the boot, takes its time.

    Where doctor finds the bypass off, it only observes. Raises UsageError and its kin,
    Unsupported where not even that is to be had, and Undecided where that could not be found
    out; nothing is left behind then.
    """
    pins.check_name(name)
    if len(options.rules) > MOST_RULES:
        raise UsageError(f"{len(options.rules)} rules", hint=f"at most {MOST_RULES} are possible")
    if not SMALLEST_BUDGET <= options.budget < 1 << 31:
        raise UsageError(f"budget of {options.budget} bytes", hint="use from 4KiB to 2047MiB")
    group = Cgroup(cgroup)
    if find_mount() not in (cgroup, *cgroup.parents) or not cgroup.is_dir():
        raise UsageError(f"cgroup {cgroup}", hint=f"name a directory of {find_mount()}")
    mode, why_not = _allowed_mode(options, tell)
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
                if why := bypass.why_not(mode):
                    raise Unsupported(
                        f"change {name} from observing: {why}",
                        hint=f"what the kernel took is settled by 'attach': detach {name} first",
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


def _allowed_mode(options: BypassOptions, tell: Callable[[str], None]) -> tuple[Mode, str]:
    """What this kernel may be asked for, and why not for what was."""
    if not options.force:
        find_out((BYPASS, OBSERVE), tell)
    asked = OBSERVE if options.observe else BYPASS
    mode = Mode.OBSERVE if options.observe else Mode.BYPASS
    if options.force or not (why_not := why_off(asked)):
        return mode, ""
    found, doing = verdict(asked), f"attach a bypass: {why_not}"
    # Where nobody knows it must not observe: it would for ever, as there is none to ask again.
    if found.known and asked is BYPASS:
        if not (why_none := why_off(OBSERVE)):
            return Mode.OBSERVE, why_not
        if not verdict(OBSERVE).known:
            found, doing = verdict(OBSERVE), f"{doing}; {why_none}"
    if not found.known:
        raise Undecided(doing, hint=TRY_AGAIN)
    if found.lacks_rights:
        raise PermissionDenied(doing, hint="run as root")
    raise Unsupported(
        doing,
        hint="connections stay plain TCP; 'sockproxy doctor' tells more, and --force tries it"
        " all the same",
    )


def detach(name: str, timeout: float) -> Detached:
    """Detach NAME; no byte is lost. What is not read within `timeout` seconds stays.

    What stays is passed on by TCP, and the next call collects it.
    """
    pins.check_name(name)
    if name not in pins.names() and not pins.has_leftovers():
        return Detached(False)  # without the lock, which would mount a bpffs for it
    with pins.locked() as place:
        if name not in pins.names():
            return Detached(False)
        deadline = time.monotonic() + timeout
        with Bypass(name) as bypass:
            bypass.stop()
            left = bypass.take_out()
            while remain := bypass.in_map():
                if time.monotonic() >= deadline:
                    unseen = 0 if bypass.sees_sockmap else remain - len(left)
                    return Detached(True, left, drained=False, unseen=unseen)
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

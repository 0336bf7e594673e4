"""Bypasses: attach to a cgroup, change, detach without losing a byte."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sockproxy.bpf import pins
from sockproxy.bpf.abi import Drains, Mode
from sockproxy.bpf.bypass import MOST_RULES, Bypass, Settings
from sockproxy.bpf.bypass_load import CONNECTIONS, create
from sockproxy.bpf.listing import Connection
from sockproxy.bpf.plain_programs import MOST_PROGRAMS
from sockproxy.bypass.drainers import named, recognised
from sockproxy.bypass.left_alone import (
    acceptors,
    is_fionread_wrong,
    must_be_left_alone,
    program_called,
    was_fionread_found_wrong,
)
from sockproxy.cgroup import Cgroup, find_by_id, find_mount
from sockproxy.errors import PermissionDenied, SockproxyError, Undecided, Unsupported, UsageError
from sockproxy.net.rules import Rule
from sockproxy.proof.ask import find_out, proof_of, silent, why_not_proved
from sockproxy.proof.mechanisms import BYPASS, OBSERVE
from sockproxy.text import shortened

__all__ = ["Attached", "BypassOptions", "Detached", "attach", "detach", "find_elsewhere",
           "fleeting", "is_orphaned", "names", "out_of_sight", "refused", "resolve_cgroup",
           "unit_cgroup"]  # fmt: skip

SYSTEMD_TIME = 10.0  # seconds that systemd has to answer
POLL = 0.01  # seconds between two looks at what drains
SMALLEST_BUDGET = 4096
TRY_AGAIN = "connections stay plain TCP; try again, or --force to do it without proof"
IN_VAIN = (
    "nothing is bypassed: FIONREAD is wrong on this kernel, which does not let be seen who does"
    " without it; --any-reader bypasses all"
)
MOST_SHOWN = 200  # characters of a path that leads nowhere

names = pins.names
refused = pins.refused
out_of_sight = pins.out_of_sight
find_elsewhere = pins.find_elsewhere
fleeting = pins.fleeting


@dataclass(frozen=True, slots=True)
class BypassOptions:
    """rules: which connections. observe: count only. budget: bytes a queue may hold.

    connections: pairs of sockets at once; fixed when NAME is attached.
    programs: names, or paths of executables, whose sockets stay plain.
    blocking_readers: enrol what is read in blocking mode, too. any_reader: and, where FIONREAD is
    wrong, programs that are not known to do without it.
    force: bypass even where doctor found that it is not exact.
    edge_triggered: executables that read until EAGAIN, whatever they are: paths, or names on PATH.
    same_cgroup: only connections whose two ends belong to one cgroup.
    starts: executables that will be started, so that they are looked at as those that run are.
    fionread_is_wrong: for what is in a sockmap; None for what doctor found.
    """

    rules: Sequence[Rule] = ()
    observe: bool = False
    budget: int = 256 << 10
    connections: int = CONNECTIONS
    programs: Sequence[str] = ()
    force: bool = False
    edge_triggered: Sequence[str] = ()
    same_cgroup: bool = False
    starts: Sequence[Path] = ()
    blocking_readers: bool = False
    any_reader: bool = False
    fionread_is_wrong: bool | None = None


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

    tell: receives lines about what takes long: doctor, which nobody has asked since the boot, or
    others who are changing NAME. And one where nothing can ever be bypassed by these options.

    Where doctor finds the bypass off, it only observes. Raises UsageError and its kin,
    Unsupported where not even that is to be had, and Undecided where that could not be found
    out; nothing is left behind then.
    """
    pins.check_name(name)
    if len(options.rules) > MOST_RULES:
        raise UsageError(f"{len(options.rules)} rules", hint=f"at most {MOST_RULES} are possible")
    if not SMALLEST_BUDGET <= options.budget < 1 << 31:
        raise UsageError(f"budget of {options.budget} bytes", hint="use from 4KiB to 2047MiB")
    path = resolve_cgroup(cgroup)
    mode, why_not = _allowed_mode(options, tell)
    rules = tuple(options.rules)
    left_alone = must_be_left_alone(proved=not options.force)
    is_wrong = options.fionread_is_wrong
    if is_wrong is None:
        is_wrong = is_fionread_wrong(proved=not options.force)
    programs = tuple(sorted({program_called(each) for each in (*options.programs, *left_alone)}))
    if len(programs) > MOST_PROGRAMS:
        raise UsageError(f"{len(programs)} programs to be left alone",
                         hint=f"at most {MOST_PROGRAMS} are possible")  # fmt: skip
    drainers = recognised(Cgroup(path).all_processes(), options.starts)
    drainers |= dict.fromkeys(named(options.edge_triggered), Drains.BY_OPTION)
    pins.collect()
    _check_in_sight(name)

    def wanted(since: float, is_wrong: bool = is_wrong) -> Settings:
        return Settings(
            since, group, rules, mode, options.budget, programs, drainers, options.same_cgroup,
            blocking_readers=options.blocking_readers, fionread_is_wrong=is_wrong,
            any_reader=options.any_reader,
        )  # fmt: skip

    with _opened(path) as (group, fd), pins.locked(name, tell) as place:
        if name in pins.names():
            with Bypass(name) as bypass:
                now = bypass.settings()
                if now.cgroup != group:
                    raise UsageError(
                        f"{name} is attached to {cgroup_names({now.cgroup})[now.cgroup]}",
                        hint=f"sockproxy detach {name} first",
                    )
                if why := bypass.why_not(mode):
                    raise Unsupported(
                        f"change {name} from observing: {why}",
                        hint=f"what the kernel took is settled by 'attach': detach {name} first",
                    )
                is_wrong = is_wrong and _takes_proof(bypass, options, mode)
                bypass.change(wanted(now.since, is_wrong), acceptors(programs, path))
                _tell_in_vain(bypass, tell)
            return Attached(True, mode is Mode.OBSERVE, why_not)
        assert place is not None
        create(
            name,
            place.at(),
            fd,
            wanted(time.monotonic()),
            options.connections,
            acceptors(programs, path),
        )
        with Bypass(name) as bypass:
            _tell_in_vain(bypass, tell)
    return Attached(False, mode is Mode.OBSERVE, why_not)


def _takes_proof(bypass: Bypass, options: BypassOptions, mode: Mode) -> bool:
    """Whether readers of a NAME that is attached may have to be known to do without FIONREAD.

    Where it was attached because FIONREAD is right nothing could show it, and they would be plain
    for ever: that nobody has asked doctor is no reason. Raises Unsupported where FIONREAD was found
    to be wrong after all.
    """
    if bypass.settings().fionread_is_wrong:
        return True
    if not (options.fionread_is_wrong or was_fionread_found_wrong()):
        return False
    if mode is Mode.BYPASS and not options.any_reader:
        raise Unsupported(
            f"change {bypass.name}: FIONREAD is wrong here, and nothing that {bypass.name} was"
            " attached with tells who does without it",
            hint=f"detach {bypass.name} first, or give --any-reader",
        )
    return True


def _tell_in_vain(bypass: Bypass, tell: Callable[[str], None]) -> None:
    if bypass.is_in_vain:
        tell(IN_VAIN)


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


@contextlib.contextmanager
def _opened(cgroup: Path) -> Iterator[tuple[int, int]]:
    """The number of a cgroup, and a descriptor of it."""
    fd = Cgroup(cgroup).open()
    try:
        yield os.fstat(fd).st_ino, fd
    finally:
        os.close(fd)


def _check_in_sight(name: str) -> None:
    """Raises SockproxyError when NAME is attached, but only other mount namespaces see it."""
    if name not in pins.names() and (there := pins.find_elsewhere(name)):
        raise SockproxyError(there)


def _allowed_mode(options: BypassOptions, tell: Callable[[str], None]) -> tuple[Mode, str]:
    """What this kernel may be asked for, and why not for what was."""
    if not options.force:
        find_out((BYPASS, OBSERVE), tell)
    asked = OBSERVE if options.observe else BYPASS
    mode = Mode.OBSERVE if options.observe else Mode.BYPASS
    if options.force or not (why_not := why_not_proved(asked)):
        return mode, ""
    found, doing = proof_of(asked), f"attach a bypass: {why_not}"
    # Where nobody knows it must not observe: it would for ever, as there is none to ask again.
    if found.known and asked is BYPASS:
        if not (why_none := why_not_proved(OBSERVE)):
            return Mode.OBSERVE, why_not
        if not proof_of(OBSERVE).known:
            found, doing = proof_of(OBSERVE), f"{doing}; {why_none}"
    if not found.known:
        raise Undecided(doing, hint=TRY_AGAIN)
    if found.lacks_rights:
        raise PermissionDenied(doing, hint="run as root")
    raise Unsupported(
        doing,
        hint="connections stay plain TCP; 'sockproxy doctor' tells more, and --force tries it"
        " all the same",
    )


def detach(
    name: str,
    timeout: float,
    tell: Callable[[str], None] = silent,
    *,
    only: int | None = None,
) -> Detached:
    """Detach NAME; no byte is lost. What is not read within `timeout` seconds stays.

    What stays is passed on by TCP, and the next call collects it. Others may change NAME
    meanwhile: its lock is held only while something is done. Raises SockproxyError.

    tell: as attach() has it. only: the id of a cgroup; a NAME that is attached to another is left.
    """
    pins.check_name(name)
    pins.collect()
    _check_in_sight(name)
    deadline = time.monotonic() + timeout
    stopped, was_attached = False, False
    while True:
        with pins.locked(name, tell, make=False) as place:
            if place is None or (only is not None and _cgroup_of(name) != only):
                return Detached(was_attached)
            was_attached = True
            draining = _drain(name, stopped)
            stopped = draining is not None
            if draining is None:
                pins.remove(place.at(name))
                continue  # unless it lives in a second place as well, that was all
        if time.monotonic() >= deadline:
            return draining
        time.sleep(POLL)


def _cgroup_of(name: str) -> int:
    with Bypass(name) as bypass:
        return bypass.settings().cgroup


def _drain(name: str, stopped: bool) -> Detached | None:
    """Inside of its lock: take out what can be taken; None when nothing is left in it."""
    with Bypass(name) as bypass:
        if not stopped:
            bypass.stop()
        elif bypass.settings().mode is not Mode.DRAIN:
            raise SockproxyError(
                f"detach {name}: it was attached again meanwhile", hint="detach it again"
            )
        left = bypass.take_out()
        remain = bypass.in_map()
        if not remain:
            return None
        return Detached(True, left, False, 0 if bypass.sees_sockmap else remain - len(left))


def is_orphaned(name: str) -> bool:
    """Whether the cgroup that NAME is attached to has been removed."""
    cgroup = _cgroup_of(name)
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

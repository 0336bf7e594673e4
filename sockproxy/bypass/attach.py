"""Attach a bypass to cgroups, or give one that is attached other options, without a gap."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sockproxy.bpf.abi import Drains, Mode
from sockproxy.bpf.bypass_kernel import PinnedBypasses
from sockproxy.bpf.bypass_load import Wanted, create
from sockproxy.bpf.bypass_seam import BypassKernel, Opened
from sockproxy.bpf.bypass_settings import Settings
from sockproxy.bpf.plain_programs import MOST_PROGRAMS
from sockproxy.bypass.allowed import allowed_mode, takes_proof
from sockproxy.bypass.drainers import named, recognised
from sockproxy.bypass.groups import check_apart, resolve_cgroup
from sockproxy.bypass.left_alone import (
    acceptors,
    is_fionread_wrong,
    must_be_left_alone,
    program_called,
)
from sockproxy.bypass.options import BypassOptions
from sockproxy.cgroup import Cgroup, find_by_id
from sockproxy.errors import Unsupported, UsageError
from sockproxy.proof.ask import silent
from sockproxy.rundir.sight import check_name

__all__ = ["Attached", "BypassOptions", "attach"]

IN_VAIN = (
    "nothing is bypassed: FIONREAD is wrong on this kernel, and what it lets sockproxy see does not"
    " tell which programs do without it; --any-reader bypasses all"
)


@dataclass(frozen=True, slots=True)
class Attached:
    """What came of an attach.

    changed: NAME was attached, and has other options now. observes: nothing is bypassed.
    why_not: why not, where a bypass was asked for. cgroups: their directories, without links.
    left_alone: names of programs that stay plain because of what this kernel is.
    """

    changed: bool
    observes: bool
    why_not: str = ""
    cgroups: Sequence[Path] = ()
    left_alone: Sequence[str] = ()

    @property
    def words(self) -> tuple[str, str]:
        """What was done, and what it does now, for people and in documents."""
        return (
            "changed" if self.changed else "attached",
            "observing" if self.observes else "bypassing",
        )


def attach(
    name: str,
    cgroup: Path,
    options: BypassOptions,
    tell: Callable[[str], None] = silent,
    *,
    also: Sequence[Path] = (),
    may_move: bool = False,
    kernel: BypassKernel | None = None,
) -> Attached:
    """Attach NAME to a cgroup, or give the NAME that is attached there other options.

    also: further cgroups, none in another. A NAME that is attached has those given now from then
    on: connections of one that it has no more go on as they are, and it gets no new ones. may_move:
    even if it has none of these so far, which else is taken for a slip.

    tell: receives lines about what takes long: doctor, which nobody has asked since the boot, or
    others who are changing NAME. And one where nothing can ever be bypassed by these options.
    kernel: None for that of this machine.

    Where doctor finds the bypass off, it only observes. Raises UsageError and its kin,
    Unsupported where not even that is to be had, and Undecided where that could not be found
    out; nothing is left behind then.
    """
    check_name(name)
    options.check()
    kernel = kernel or PinnedBypasses()
    paths = tuple(dict.fromkeys(map(resolve_cgroup, (cgroup, *also))))
    check_apart(paths)
    groups = [Cgroup(path) for path in paths]
    mode, why_not = allowed_mode(options, tell)
    settings, left_alone = _wanted(options, mode, groups)
    with contextlib.ExitStack() as stack:
        fds = [stack.enter_context(group.opened()) for group in groups]
        inside = {os.fstat(fd).st_ino: fd for fd in fds}
        settings = replace(settings, cgroup=next(iter(inside)))
        held = stack.enter_context(kernel.locked(name, tell))
        assert held is not None  # it is None with make=False alone
        listening = acceptors(settings.programs, *groups)
        with contextlib.ExitStack() as undo:
            if not held.attached:
                settings = replace(settings, since=time.monotonic())
                create(kernel, held, Wanted(settings, options.connections, listening))
                undo.callback(held.remove)
            bypass = stack.enter_context(contextlib.closing(kernel.open(name, held)))
            if held.attached:
                settings = _changed(name, bypass, options, settings)
                _check_cgroups(name, bypass, dict(zip(inside, paths, strict=True)), may_move)
                undo.callback(bypass.keep, bypass.cgroups())
            for number in inside.keys() - bypass.cgroups():
                bypass.add(number, inside[number])
            if held.attached:
                bypass.change(settings, listening)
            bypass.keep(inside)
            is_in_vain = bypass.begin(settings.mode)
            undo.pop_all()
    if is_in_vain:
        tell(IN_VAIN)
    return Attached(held.attached, mode is Mode.OBSERVE, why_not, paths, left_alone)


def _wanted(
    options: BypassOptions, mode: Mode, groups: Sequence[Cgroup]
) -> tuple[Settings, tuple[str, ...]]:
    """The settings, but for the moment and the cgroup's number, and the names of the programs that
    this kernel makes us leave alone. Raises UsageError."""
    not_proved = is_fionread_wrong(proved=not options.force)
    left_alone = must_be_left_alone(fionread_is_wrong=not_proved)
    programs = tuple(sorted({program_called(each) for each in (*options.programs, *left_alone)}))
    if len(programs) > MOST_PROGRAMS:
        raise UsageError(
            f"{len(programs)} programs to be left alone",
            hint=f"at most {MOST_PROGRAMS} are possible",
        )
    processes = [pid for group in groups for pid in group.all_processes()]
    drainers = recognised(processes, options.starts)
    drainers |= dict.fromkeys(named(options.edge_triggered), Drains.BY_OPTION)
    is_wrong = options.fionread_is_wrong
    settings = Settings(
        since=0.0,
        cgroup=0,
        rules=tuple(options.rules),
        mode=mode,
        budget=options.budget,
        programs=programs,
        drainers=drainers,
        same_cgroup=options.same_cgroup,
        blocking_readers=options.blocking_readers,
        fionread_is_wrong=not_proved if is_wrong is None else is_wrong,
        any_reader=options.any_reader,
        spare_pacing=mode is Mode.BYPASS and not options.keep_pacing,
    )
    return settings, left_alone


def _changed(name: str, bypass: Opened, options: BypassOptions, wanted: Settings) -> Settings:
    """What is wanted, as far as NAME, which is attached, can have it. Raises Unsupported where it
    lacks what that takes."""
    now = bypass.settings()
    if why := bypass.why_not(wanted.mode):
        raise Unsupported(
            f"change {name} from observing: {why}",
            hint=f"its programs were chosen when it was attached: detach {name} first",
        )
    is_wrong = wanted.fionread_is_wrong and takes_proof(name, now, options, wanted.mode)
    return replace(wanted, since=now.since, fionread_is_wrong=is_wrong)


def _check_cgroups(name: str, bypass: Opened, wanted: Mapping[int, Path], may_move: bool) -> None:
    """Raises UsageError where NAME is attached to others than these alone, unless it may move, or
    to one that lies in one of these, or the other way round."""
    known = find_by_id({*bypass.cgroups(), *bypass.leaving()})
    live = [known[number].path for number in bypass.cgroups() if number in known]
    if live and not may_move and not wanted.keys() & set(bypass.cgroups()):
        raise UsageError(
            f"{name} is attached to {', '.join(map(str, live))}",
            hint=f"sockproxy detach {name} first, or name one of those too",
        )
    check_apart({*wanted.values(), *(each.path for each in known.values())})

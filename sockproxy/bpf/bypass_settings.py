"""What a bypass is told to do: its settings, written into its maps and read from them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sockproxy.bpf import Map, ffi
from sockproxy.bpf.abi import Drains, Mode, Proof
from sockproxy.bpf.plain_programs import Program, read_programs, write_programs
from sockproxy.bpf.programs import Executable
from sockproxy.bpf.rules import read_rules, write_rules
from sockproxy.bpf.wakers import Wakers
from sockproxy.net.rules import Rule

__all__ = ["Settings", "read_knobs", "read_settings", "settings_of", "write_settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """since: CLOCK_MONOTONIC, seconds. cgroup: its inode number.

    budget: bytes that may wait in one bypass queue, with the kernel's overhead.
    drainers: executables that read until there is no more, and by what that is known.
    same_cgroup: only pairs whose two ends belong to one. credit: bytes that may be granted to all
    senders together; 0: as many as tcp_mem leaves (bpf/bypass/grant.h).
    programs: those whose sockets stay plain. blocking_readers: what is read in blocking mode
    does not. fionread_is_wrong: for what is in a sockmap. any_reader: readers are enrolled
    before they are known to do without it. evidence: seconds that a program is held to what it
    was seen to do. spare_pacing: streams within this host are not paced.
    """

    since: float
    cgroup: int
    rules: tuple[Rule, ...]
    mode: Mode
    budget: int
    programs: tuple[Program, ...] = ()
    drainers: Mapping[Executable, Drains] = field(default_factory=dict)
    same_cgroup: bool = False
    credit: int = 0
    blocking_readers: bool = False
    fionread_is_wrong: bool = False
    any_reader: bool = False
    evidence: int = 600
    spare_pacing: bool = False


def read_knobs(maps: Mapping[str, Map]) -> Any:
    """The struct knobs in force."""
    return _read(maps["knobs"], "struct knobs", 0)


def read_settings(maps: Mapping[str, Map]) -> tuple[Settings, Any]:
    """The settings in force, but for what only the programs that are pinned tell
    (fionread_is_wrong and any_reader), and the struct knobs."""
    knobs = read_knobs(maps)
    raw = _read(maps["settings"], "struct settings", int(knobs.which))
    settings = Settings(
        since=raw.since / 1e9,
        cgroup=int(raw.cgroup),
        rules=read_rules(raw.rules),
        mode=Mode(knobs.mode),
        budget=int(knobs.budget),
        programs=read_programs(maps["left_alone"]),
        drainers=_drainers(maps["drains"]),
        same_cgroup=bool(knobs.same_cgroup),
        credit=int(knobs.credit),
        blocking_readers=bool(knobs.blocking_readers),
        evidence=int(knobs.evidence),
        spare_pacing=bool(knobs.spare_pacing),
    )
    return settings, knobs


def write_settings(
    maps: Mapping[str, Map],
    settings: Settings,
    proof: Proof,
    wakers: Wakers | None,
    before: tuple[int, int] = (1, 0),
) -> None:
    """Write the settings that are not in force, then turn to them.

    proof: what readers are known by, where they have to be. wakers: as learn_wakers() finds them,
    None where nothing is bypassed. before: `which` and `version` of the knobs in force.
    """
    which, version = before
    raw = settings_of(settings.rules)
    raw.since, raw.cgroup = int(settings.since * 1e9), settings.cgroup
    maps["settings"].update(ffi.new("uint32_t *", 1 - which), raw)
    if wakers is not None:
        known = ffi.new("struct wakers *", (wakers.epoll, wakers.poll, wakers.sleep))
        maps["wakers"].update(ffi.new("uint32_t *", 0), known)
    _write_drainers(maps["drains"], settings.drainers)
    write_programs(maps["left_alone"], settings.programs)
    knobs = ffi.new("struct knobs *")
    knobs.which, knobs.mode, knobs.budget = 1 - which, settings.mode, settings.budget
    knobs.version, knobs.same_cgroup = version + 1, settings.same_cgroup
    knobs.credit = settings.credit
    knobs.evidence, knobs.spare_pacing = settings.evidence, settings.spare_pacing
    knobs.blocking_readers = settings.blocking_readers
    needed = settings.fionread_is_wrong and not settings.any_reader
    knobs.proof = proof if needed else Proof.NONE
    maps["knobs"].update(ffi.new("uint32_t *", 0), knobs)


def settings_of(rules: Collection[Rule]) -> Any:
    """A new struct settings that has these rules, and nothing else."""
    raw = ffi.new("struct settings *")
    write_rules(rules, raw.rules)
    return raw


def _write_drainers(drains: Map, drainers: Mapping[Executable, Drains]) -> None:
    """What the programs have found out stays; what an option said and says no more does not."""
    for each, kind in _drainers(drains).items():
        if kind is Drains.BY_OPTION and each not in drainers:
            drains.delete(ffi.new("struct program *", tuple(each)))
    for each, kind in drainers.items():
        drains.update(ffi.new("struct program *", tuple(each)), ffi.new("uint32_t *", kind))


def _drainers(drains: Map) -> dict[Executable, Drains]:
    found, value = {}, ffi.new("uint32_t *")
    for key in drains.keys("struct program"):
        if drains.lookup(key, value) and value[0] != Drains.NOT:
            found[Executable(int(key.inode), int(key.device))] = Drains(value[0])
    return found


def _read(source: Map, ctype: str, key: int) -> Any:
    value = ffi.new(f"{ctype} *")
    source.lookup(ffi.new("uint32_t *", key), value)
    return value

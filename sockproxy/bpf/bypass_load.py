"""Attach a bypass: bypass.bpf.c to a cgroup and to the kernel's functions, all pinned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

from sockproxy.bpf import BpfObject, Link, Program, pin, pins
from sockproxy.bpf.abi import Plain
from sockproxy.bpf.bypass import MAPS, Settings, write_settings
from sockproxy.bpf.bypass_roles import (
    ARRIVALS,
    ASKING,
    NEEDED,
    OBJECT,
    ON_CGROUP,
    RESULTS,
    pin_name,
    proof_of,
    roles_of,
)
from sockproxy.bpf.loading import Cast, Role, audition, best, load, refusal
from sockproxy.bpf.plain_programs import note_acceptors
from sockproxy.errors import SockproxyError, is_passing

__all__ = ["CONNECTIONS", "create"]

CONNECTIONS = 65536  # pairs of sockets at once that can be bypassed


def create(
    name: str,
    place: Path,
    cgroup_fd: int,
    settings: Settings,
    connections: int = CONNECTIONS,
    acceptors: Mapping[tuple[int, int], Plain] = MappingProxyType({}),
) -> None:
    """Load, attach and pin, inside `pins.locked()`; undone in reverse when a step fails.

    What the kernel refuses is done in another way, or left out, where settings.mode can do without.
    acceptors: what listens already, as note_acceptors() takes it.

    Raises KernelError and its kin.
    """
    aside = place / f"{pins.ASIDE}{name}"
    create_with = partial(
        _create,
        aside=aside,
        cgroup_fd=cgroup_fd,
        settings=settings,
        connections=connections,
        acceptors=acceptors,
    )
    roles = roles_of(fionread_is_wrong=settings.fionread_is_wrong)
    if (failure := _create_likely(create_with, roles)) is not None:
        found = audition(OBJECT, roles)
        if not found.refused:
            raise failure
        _check_needed(found, settings)
        create_with(found)
    try:
        aside.rename(place / name)
    except BaseException:
        pins.remove(aside)
        raise


def _create_likely(
    create_with: Callable[[Cast], None], roles: Iterable[Role]
) -> SockproxyError | None:
    """With the programs that kernels of today take, or those before 6.3, which are not tried one
    by one; why not with the first, if not even with the others."""
    failure: SockproxyError | None = None
    newest = best(roles)
    if ASKING.name in newest.ways:
        # Hardened kernels refuse it, and it alone: to try it is cheaper than to fail with all.
        asking = audition(OBJECT, (ASKING,))
        others = {name: way for name, way in newest.ways.items() if name != ASKING.name}
        newest = Cast({**others, **asking.ways}, asking.refused)
    old_ways = {name: way for name, way in newest.ways.items() if name != RESULTS.name}
    older = Cast({**old_ways, ARRIVALS.name: ARRIVALS.ways[1]}, {})
    for cast in (newest, older):
        try:
            create_with(cast)
        except SockproxyError as error:
            if is_passing(error.errno):
                raise
            failure = failure or error
        else:
            return None
    return failure


def _check_needed(cast: Cast, settings: Settings) -> None:
    for role in NEEDED[settings.mode]:
        if why := cast.why_missing(role):
            told = "; ".join(refusal(each, cast.refused[each]) for each in role.programs)
            raise type(why)(
                f"{settings.mode.name.lower()}: {role.without} ({told})",
                hint=why.hint,
                log=why.log,
            )


def _create(
    cast: Cast,
    aside: Path,
    cgroup_fd: int,
    settings: Settings,
    connections: int,
    acceptors: Mapping[tuple[int, int], Plain],
) -> None:
    def size(bpf: BpfObject) -> None:
        for each, entries in (("peers", 2), ("sockets", 2), ("pairs", 1), ("free_pairs", 1)):
            bpf.set_max_entries(each, entries * connections)

    bpf = load(OBJECT, cast.programs, size)
    try:
        maps = {each: bpf.map(each) for each in MAPS}
        write_settings(maps, settings, which=1, version=1, proof=proof_of(cast.programs))
        note_acceptors(maps["acceptors"], acceptors)
        aside.mkdir(mode=0o700)
        for each, opened in maps.items():
            pin(opened.fd, str(aside / each))
        for role in roles_of(fionread_is_wrong=settings.fionread_is_wrong):
            if role not in ON_CGROUP:
                for program in cast.ways.get(role.name, ()):
                    link = role.attach(bpf, program) if role.attach else None
                    _pin(link or bpf.program(program), aside / pin_name(program))
        for role in ON_CGROUP:
            for program in cast.ways.get(role.name, ()):
                link = bpf.program(program).attach_to_cgroup(cgroup_fd)
                _pin(link, aside / pin_name(program))
    except BaseException:
        pins.remove(aside)
        raise
    finally:
        bpf.close()


def _pin(made: Link | Program, path: Path) -> None:
    """Leave it to its pin; a link is none without it."""
    try:
        made.pin(str(path))
    finally:
        if isinstance(made, Link):
            made.close()

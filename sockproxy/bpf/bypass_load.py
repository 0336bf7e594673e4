"""Attach a bypass to the kernel's functions, all pinned, or nothing of it; cgroups are added to it
after that."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from sockproxy.bpf.abi import Mode
from sockproxy.bpf.bypass import MAPS
from sockproxy.bpf.bypass_roles import (
    ARRIVALS,
    ASKING,
    LISTING,
    NEEDED,
    RESULTS,
    proof_of,
    roles_of,
)
from sockproxy.bpf.bypass_seam import Acceptors, BypassKernel, Held
from sockproxy.bpf.bypass_settings import Settings
from sockproxy.bpf.loading import Cast, Refuses, Role, best, choose, refusal
from sockproxy.bpf.observed import OBSERVED
from sockproxy.bpf.slot import TELLING
from sockproxy.errors import SockproxyError, is_passing

__all__ = ["CONNECTIONS", "Wanted", "create"]

# Hardened kernels refuse some programs of these, and no others: to try them alone is cheaper than
# to fail with all, which take a quarter of a second to verify.
DOUBTFUL = (ASKING, LISTING)
CONNECTIONS = 65536  # pairs of sockets at once that can be bypassed


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be attached.

    connections: pairs of sockets at once. acceptors: what listens already.
    """

    settings: Settings
    connections: int = CONNECTIONS
    acceptors: Acceptors = field(default_factory=dict)

    @property
    def roles(self) -> tuple[Role, ...]:
        """What the programs of this bypass are there for."""
        return roles_of(fionread_is_wrong=self.settings.fionread_is_wrong)


def create(kernel: BypassKernel, held: Held, wanted: Wanted) -> None:
    """Load, attach, pin and publish, with the lock of NAME held; undone in reverse when a step
    fails.

    What the kernel refuses is done in another way, or left out, where settings.mode can do without.

    Raises KernelError and its kin.
    """
    failure: SockproxyError | None = None
    refuses = cache(kernel.why_refused)  # a program that was tried is not tried again
    for cast in _likely(refuses, wanted):
        try:
            _create(kernel, held, wanted, cast)
        except SockproxyError as error:
            if is_passing(error.errno):
                raise
            failure = failure or error
        else:
            return
    found = choose(wanted.roles, refuses)
    if failure is not None and not found.refused:
        raise failure
    _check_needed(found, wanted.settings)
    _create(kernel, held, wanted, found)


def _likely(refuses: Refuses, wanted: Wanted) -> Iterator[Cast]:
    """The programs that kernels of today take, then those that kernels before 6.3 do, which are not
    tried one by one."""
    doubtful = choose((each for each in wanted.roles if each in DOUBTFUL), refuses)
    sure = best(each for each in wanted.roles if each not in DOUBTFUL)
    newest = Cast({**sure.ways, **doubtful.ways}, doubtful.refused)
    yield newest
    old_ways = {name: way for name, way in newest.ways.items() if name != RESULTS.name}
    yield Cast({**old_ways, ARRIVALS.name: ARRIVALS.ways[1]}, {})


def _check_needed(cast: Cast, settings: Settings) -> None:
    for role in NEEDED[settings.mode]:
        if why := cast.why_missing(role):
            told = "; ".join(refusal(each, cast.refused[each]) for each in role.programs)
            raise type(why)(
                f"{settings.mode.name.lower()}: {role.without} ({told})",
                hint=why.hint,
                log=why.log,
            )


def _create(kernel: BypassKernel, held: Held, wanted: Wanted, cast: Cast) -> None:
    settings, programs = wanted.settings, cast.programs
    with contextlib.closing(kernel.load(programs, wanted.connections)) as loaded:
        wakers = kernel.learn_wakers() if settings.mode is Mode.BYPASS else None
        loaded.write(settings, proof_of(programs), wakers, wanted.acceptors)
        with contextlib.ExitStack() as undo:
            undo.callback(held.discard)
            aside = held.make()
            for name in (*MAPS, *TELLING, OBSERVED):
                undo.callback(held.unpin, name)
                loaded.pin_map(name, str(aside / name))
            for role in wanted.roles:
                for program in cast.ways.get(role.name, ()):
                    undo.callback(held.unpin, program)
                    with contextlib.closing(loaded.attach(role, program)) as made:
                        made.pin(str(aside / program))
            held.publish()
            undo.pop_all()

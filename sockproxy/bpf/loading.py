"""Load as much of a BPF object as this kernel takes: a program that is refused takes away only what
it is there for.

Which programs a kernel refuses cannot be told by its version: lockdown, an LSM or a helper that is
not there refuses all of a kind. So what a program is there for is named, as a Role, and a role may
be played by other programs where the best are refused.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from sockproxy.bpf import BpfObject, Link
from sockproxy.bpf.objects import read_object
from sockproxy.errors import SockproxyError, is_passing

__all__ = [
    "CASTING",
    "TRIAL",
    "Cast",
    "Prepare",
    "Refuses",
    "Role",
    "are_casts_taken",
    "audition",
    "best",
    "choose",
    "load",
    "refusal",
    "why_refused",
]

# Objects that do the same, faster, on kernels that take casts, and one that shows whether they are
# taken: bpf/common/cast.h.
CASTING = {"bypass.bpf.o": "bypass_casts.bpf.o"}
TRIAL = "try_casts.bpf.o"
VERIFIER = (errno.EINVAL, errno.EACCES, errno.E2BIG)  # as it refuses what it does not know

Prepare = Callable[[BpfObject], None]
Refuses = Callable[["Role", str], SockproxyError | None]


@dataclass(frozen=True, slots=True)
class Role:
    """One thing that programs of an object are there for.

    ways: sets of programs that do it, the best first; of each all are needed.
    without: what follows where none of the ways is to be had, as a phrase.
    attach: attaches one of them where the kernel itself is to run it, and may refuse to.
    """

    name: str
    ways: tuple[tuple[str, ...], ...]
    without: str
    attach: Callable[[BpfObject, str], Link | None] | None = None

    @property
    def programs(self) -> tuple[str, ...]:
        """Every program of every way, once."""
        return tuple(dict.fromkeys(each for way in self.ways for each in way))


@dataclass(frozen=True, slots=True)
class Cast:
    """Which programs play the roles, by the roles' names.

    refused: the programs that this kernel does not take, and why.
    """

    ways: Mapping[str, tuple[str, ...]]
    refused: Mapping[str, SockproxyError]

    @property
    def programs(self) -> set[str]:
        """All that are to be loaded."""
        return {each for way in self.ways.values() for each in way}

    def why_missing(self, role: Role) -> SockproxyError | None:
        """Why nothing plays a role: how its first program was refused. None when something does."""
        if role.name in self.ways:
            return None
        return next(self.refused[each] for each in role.programs if each in self.refused)


def best(roles: Iterable[Role]) -> Cast:
    """Every role in its best way."""
    return Cast({role.name: role.ways[0] for role in roles}, {})


def audition(name: str, roles: Iterable[Role], prepare: Prepare = lambda bpf: None) -> Cast:
    """For each role the first way that the kernel takes, each program of the object `name` tried
    by itself; nothing stays loaded or attached.

    Raises SockproxyError where that fails for want of memory, descriptors and the like.
    """
    return choose(roles, lambda role, program: why_refused(name, role, program, prepare))


def choose(roles: Iterable[Role], refuses: Refuses) -> Cast:
    """For each role the first way of which no program is refused.

    refuses: how the kernel refuses a program of a role, None when it takes it; asked once for each
    program that matters.
    """
    ways: dict[str, tuple[str, ...]] = {}
    tried: dict[str, SockproxyError | None] = {}
    for role in roles:
        for way in role.ways:
            for program in way:
                if program not in tried:
                    tried[program] = refuses(role, program)
            if all(tried[program] is None for program in way):
                ways[role.name] = way
                break
    return Cast(ways, {program: error for program, error in tried.items() if error})


def why_refused(
    name: str, role: Role, program: str, prepare: Prepare = lambda bpf: None
) -> SockproxyError | None:
    """How the kernel refuses a program of the object `name`, if it does; nothing stays loaded.

    Raises SockproxyError where that fails for want of memory, descriptors and the like.
    """
    try:
        with contextlib.closing(load(name, {program}, prepare)) as bpf:
            if role.attach and (link := role.attach(bpf, program)):
                link.close()
    except SockproxyError as error:
        if is_passing(error.errno):
            raise
        return error
    return None


def load(name: str, programs: Collection[str], prepare: Prepare = lambda bpf: None) -> BpfObject:
    """The object `name`, loaded with these programs; the caller closes it.

    prepare: sets what has to be set before. Raises SockproxyError, with nothing left.
    """
    if name in CASTING and are_casts_taken():
        try:
            return _load(name, CASTING[name], programs, prepare)
        except SockproxyError as error:
            if error.errno not in VERIFIER:
                raise
    return _load(name, name, programs, prepare)


def _load(name: str, file: str, programs: Collection[str], prepare: Prepare) -> BpfObject:
    bpf = BpfObject(name, read_object(file))
    try:
        bpf.only(programs)
        prepare(bpf)
        bpf.load()
    except BaseException:
        bpf.close()
        raise
    return bpf


@cache
def are_casts_taken() -> bool:
    """Whether this kernel takes a program that makes a pointer of an address. One that takes this
    may still refuse others: see load().

    Raises SockproxyError where that cannot be told for want of memory, descriptors and the like.
    """
    read_object(TRIAL)  # that it is not there is no refusal
    try:
        load(TRIAL, {"try_casts"}).close()
    except SockproxyError as error:
        if is_passing(error.errno):
            raise
        return False
    return True


def refusal(program: str, error: SockproxyError) -> str:
    """How a program was refused: its name, the errno, and what the verifier said last."""
    number = error.errno or 0
    why = f"{os.strerror(number)} ({errno.errorcode.get(number, number)})" if number else str(error)
    said = [line.strip() for line in (error.log or "").splitlines()]
    said = [line for line in said if line and not line.startswith("processed ")]
    # BpfObject.load() puts the program's name into the first line of the log.
    return f"{program}: {why}" + (f": {said[-1]}" if len(said) > 1 else "")

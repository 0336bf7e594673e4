"""Probes of programs: whether the verifier takes them, and the kernel attaches them.

Which programs a mechanism has is said by its roles: sockproxy/bpf/loading.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sockproxy.bpf.loading import Prepare, Role, audition, refusal
from sockproxy.doctor.probe import Kind, Probe
from sockproxy.doctor.trial import Trial
from sockproxy.errors import SockproxyError

__all__ = ["program_probe"]

ABOUT = """\
The verifier takes the programs, and the kernel lets them be attached.

Each is tried by itself: a kernel may refuse those of one kind to everybody (fentry, LSM,
iterators over maps), or a helper that they call. Where what a program does can be done in another
way, that is taken; only without a program of the data path is a mechanism off."""


def program_probe(
    name: str,
    of: str,
    roles: Iterable[Role],
    prepare: Prepare,
    needed_by: tuple[str, ...],
    limited: tuple[str, ...] = (),
) -> Probe:
    """A probe that loads the programs of some roles, each by itself.

    of: the BPF object's file. prepare: what to do with the object before it is loaded. needed_by:
    the mechanisms that are off without one of the roles; where there is none, limited: those that
    do less without it.
    """
    roles = tuple(roles)

    def run(_: Trial) -> str:
        cast = audition(of, roles, prepare)
        told = [refusal(each, error) for each, error in cast.refused.items()]
        for role in roles:
            if why := cast.why_missing(role):
                raise SockproxyError("; ".join(told), log=why.log)
        taken = ", ".join(sorted(cast.programs))
        return f"{taken}, as there is no {'; '.join(told)}" if told else taken

    without = "; ".join(role.without for role in roles)
    limits: Mapping[str, str] = {} if needed_by else dict.fromkeys(limited, without)
    hint = f"docs/kernels.md names kernels that take it; without it {without}"
    return Probe(name, run, hint, Kind.LOADS, needed_by, limits, about=ABOUT)

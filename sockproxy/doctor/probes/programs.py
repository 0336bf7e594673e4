"""The verifier takes the programs, and the kernel lets them be attached.

Each is tried by itself: a kernel may refuse those of one kind to everybody (fentry, LSM,
iterators over maps), or a helper that they call. Where what a program does can be done in another
way, that is taken; only without a program of the data path is a mechanism off.
"""

from __future__ import annotations

from collections.abc import Iterable

from sockproxy.bpf import bypass_roles, splice_roles
from sockproxy.bpf.abi import Mode
from sockproxy.bpf.loading import Prepare, Role, audition, refusal
from sockproxy.doctor.probe import Kind, Probe
from sockproxy.errors import SockproxyError
from sockproxy.proof.mechanisms import BYPASS, ENROL, OBSERVE, SPLICE, VERDICT_ONLY

__all__ = ["PROBES"]


def _probe(
    name: str,
    of: str,
    roles: Iterable[Role],
    needed_by: tuple[str, ...],
    prepare: Prepare,
    limited: tuple[str, ...] = (),
) -> Probe:
    roles = tuple(roles)

    def run() -> str:
        cast = audition(of, roles, prepare)
        told = [refusal(each, error) for each, error in cast.refused.items()]
        for role in roles:
            if why := cast.why_missing(role):
                raise SockproxyError("; ".join(told), log=why.log)
        taken = ", ".join(sorted(cast.programs))
        return f"{taken}, as there is no {'; '.join(told)}" if told else taken

    without = "; ".join(role.without for role in roles)
    limits = {} if needed_by else dict.fromkeys(limited, without)
    hint = f"docs/kernels.md names kernels that take it; without it {without}"
    return Probe(name, run, hint, Kind.LOADS, needed_by, limits)


def _splice(name: str, roles: Iterable[Role], needed_by: str) -> Probe:
    return _probe(name, splice_roles.OBJECT, roles, (needed_by,), splice_roles.prepare)


def _bypass(role: Role) -> Probe:
    modes = {BYPASS: Mode.BYPASS, OBSERVE: Mode.OBSERVE}
    needed_by = tuple(name for name, mode in modes.items() if role in bypass_roles.NEEDED[mode])
    name = f"bypass: {role.name}"
    limited = (BYPASS,) if role in bypass_roles.PROVING else (BYPASS, OBSERVE)
    return _probe(name, bypass_roles.OBJECT, (role,), needed_by, lambda bpf: None, limited)


PROBES = (
    _splice("splice: moving", (splice_roles.MOVING, splice_roles.INSPECTING), SPLICE),
    _splice("splice: enrolment", (splice_roles.ENROLMENT,), ENROL),
    _splice("verdict only", (splice_roles.MOVING_BLINDLY, splice_roles.INSPECTING), VERDICT_ONLY),
    *map(_bypass, bypass_roles.ROLES),
)

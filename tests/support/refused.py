"""Programs refused at the seam: loading an object with one of them fails, on any kernel."""

from __future__ import annotations

import errno
from functools import cache

from sockproxy.bpf import BpfObject, bypass_roles, loading, splice_roles
from sockproxy.bpf.library import failure
from sockproxy.bpf.loading import audition

SPLICE_ROLES = (
    *(splice_roles.MOVING, splice_roles.MOVING_BLINDLY),
    *(splice_roles.INSPECTING, splice_roles.ENROLMENT),
)


def refuse(monkeypatch, programs, number=errno.EPERM):
    """From now on the kernel takes none of these programs."""
    only, load = BpfObject.only, BpfObject.load

    def remember(self, names):
        self.wanted = set(names)
        only(self, names)

    def load_or_fail(self):
        if refused := self.wanted & set(programs):
            self.close()
            raise failure(f"load {self.name}", number, f"{min(refused)}:\nrefused by a test")
        load(self)

    monkeypatch.setattr(loading, "are_casts_taken", cache(loading.are_casts_taken.__wrapped__))
    monkeypatch.setattr(BpfObject, "only", remember)
    monkeypatch.setattr(BpfObject, "load", load_or_fail)


def refused_here():
    """The programs that this kernel refuses by itself."""
    found = set()
    for name, roles, prepare in (
        (bypass_roles.OBJECT, bypass_roles.ROLES, lambda bpf: None),
        (splice_roles.OBJECT, SPLICE_ROLES, splice_roles.prepare),
    ):
        for role in roles:
            for program in role.programs:
                alone = type(role)(role.name, ((program,),), role.without, role.attach)
                found |= audition(name, (alone,), prepare).refused.keys()
    return found

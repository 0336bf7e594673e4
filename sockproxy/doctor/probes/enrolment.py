"""Probes of enrolment by sock_ops: a proxy's sockets enter the sockmap as they are established."""

from __future__ import annotations

from sockproxy.bpf import splice_roles
from sockproxy.doctor.probe import KERNEL, Commit, Kind, probe
from sockproxy.doctor.programs import program_probe
from sockproxy.doctor.trial import Trial, enrolling
from sockproxy.errors import SockproxyError
from sockproxy.proof.mechanisms import ENROL

__all__ = ["EARLY_STALLS", "PROBES"]

EARLY_STALLS = (
    Commit("ea444185a6bf", "bpf, sockmap: TCP data stall on recv before accept", "6.4"),
    Commit("901546fd8f9c", "bpf, sockmap: Handle fin correctly", "6.4"),
)
"""They mended what is received before accept(); the bypass has the same bug."""

enrolment_program = program_probe(
    "splice: enrolment",
    splice_roles.OBJECT,
    (splice_roles.ENROLMENT,),
    splice_roles.prepare,
    needed_by=(ENROL,),
)


@probe("sock_ops", Kind.DOES, KERNEL, needed_by=(ENROL,))
def sock_ops(trial: Trial) -> str:
    """sock_ops attaches to a cgroup, and both ends of a connection made there are enrolled."""
    with enrolling() as kernel:
        for sock in trial.tcp_pair():
            sock.close()
        enrolled = kernel.enrolments()["enrolled"]
    if enrolled != 2:
        raise SockproxyError(f"{enrolled} of 2 sockets were enrolled")
    return "attached, both ends of a connection enrolled"


@probe(
    "accept of enrolled",
    Kind.BUG,
    "'proxy' enrols sockets one by one on this kernel; report it",
    needed_by=(ENROL,),
    mended_by=EARLY_STALLS,
)
def enrolled_accept(trial: Trial) -> str:
    """What comes before accept() is read after it on a socket that sock_ops has enrolled.

    So are all of a proxy's, before it splices them. From 6.0 to 6.4, without ea444185 and
    901546fd8f9c, such data stalls in some sockmaps, and a FIN gives EAGAIN in place of 0.
    """
    with enrolling() as kernel:
        found = trial.accept_late()
        enrolled = kernel.enrolments()["enrolled"]
    if enrolled != 2:
        raise SockproxyError(f"not tried: {enrolled} of 2 sockets were enrolled")
    return found


PROBES = (enrolment_program, sock_ops, enrolled_accept)

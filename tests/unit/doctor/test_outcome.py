"""What a probe's failure says: of the kernel, of this process, or of the moment."""

from __future__ import annotations

import errno
import os
import signal

import pytest

from sockproxy.doctor import examine, outcome, proofs
from sockproxy.errors import CgroupError, KernelError, PermissionDenied, SockproxyError, Unsupported
from sockproxy.proof.mechanisms import BYPASS
from tests.unit.doctor.made import lack, probe

MOMENTARY = {
    "memory": KernelError("load", errno=errno.ENOMEM),
    "no memory": MemoryError(),
    "files": OSError(errno.EMFILE, "files"),
    "busy": KernelError("attach", errno=errno.EBUSY),
    "again": KernelError("fork", errno=errno.EAGAIN),
    "interrupted": OSError(errno.EINTR, "interrupted"),
    "late": TimeoutError("timed out"),
}
LASTING = {
    "kernel": KernelError("load", errno=errno.EINVAL),
    "refused": Unsupported("load", errno=errno.EPERM),
    "wrong": SockproxyError("received b''"),
}
ELSEWHERE = {
    "cgroup": CgroupError("make it", errno=errno.EROFS),
    "rights": PermissionDenied("load", errno=errno.EPERM),
    "path": OSError(errno.ENOENT, "not there"),
}


def tried(errors):
    """What comes of a probe for each error, once."""
    return list(examine([probe(name, lack(each), BYPASS) for name, each in errors.items()], 10))


@pytest.mark.parametrize(
    ("errors", "conclusive", "lasts"),
    [(MOMENTARY, False, False), (LASTING, True, True), (ELSEWHERE, True, False)],
    ids=["of the moment", "of the kernel", "of this process"],
)
def test_what_a_failure_says(busy, errors, conclusive, lasts):
    for name, error in errors.items():
        (finding,) = tried({name: error})
        assert (finding.ok, finding.conclusive, finding.lasts) == (False, conclusive, lasts), name
        found = proofs([finding])[BYPASS]
        assert (found.known, found.lasts) == (conclusive, lasts), name


def test_a_refusal_behind_a_filter_is_not_kept(monkeypatch):
    monkeypatch.setattr(outcome, "is_filtered", lambda: True)
    (finding,) = tried({"refused": Unsupported("load", errno=errno.EPERM)})
    assert (finding.conclusive, finding.lasts) == (True, False)


@pytest.mark.parametrize(
    ("number", "conclusive"),
    [(signal.SIGSEGV, True), (signal.SIGABRT, True), (signal.SIGKILL, False),
     (signal.SIGTERM, False), (signal.SIGXCPU, False)],
)  # fmt: skip
def test_a_crash_is_a_finding_and_to_be_killed_is_none(number, conclusive):
    """The kernel kills by SIGKILL when memory is short."""

    def die():
        signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None
        os.kill(os.getpid(), number)
        return ""

    (finding,) = examine([probe("dies", die, BYPASS)])
    assert signal.Signals(number).name in finding.found
    assert (finding.ok, finding.conclusive) == (False, conclusive)


def test_doctor_does_not_send_to_doctor():
    error = KernelError("load", errno=errno.EINVAL, hint="run 'sockproxy doctor' to see", log="no")
    (finding,) = tried({"load": error})
    assert (finding.advice, finding.log) == ("hint", "no")

"""What a probe's failure says: of the kernel, of this process, or of the moment."""

from __future__ import annotations

import errno
import signal
from dataclasses import dataclass

from sockproxy.bpf.rights import is_filtered
from sockproxy.errors import CgroupError, PermissionDenied, SockproxyError, is_passing

__all__ = ["Outcome", "crashed", "failed"]

REFUSED = (errno.EPERM, errno.EACCES)
# Errors of what this process lacks in its sandbox, or somebody has just removed.
ELSEWHERE = (errno.EROFS, errno.ENOENT, errno.ENOTDIR)
# Signals that a process gets for its own doing. Every other comes from somebody else: from the
# kernel when memory is short, from a limit, from an administrator.
CRASHES = ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one try of a probe, as its process sends it to doctor.

    late: the probe ran out of time. The other fields are those of a Finding.
    """

    ok: bool
    found: str
    hint: str | None = None
    log: str | None = None
    conclusive: bool = True
    lasts: bool = True
    late: bool = False


def failed(error: Exception) -> Outcome:
    """What follows from an error that a probe raised."""
    number = getattr(error, "errno", None)
    found, hint, log = str(error) or type(error).__name__, None, None
    if isinstance(error, TimeoutError):
        return Outcome(False, found, conclusive=False, lasts=False, late=True)
    if isinstance(error, SockproxyError):
        found, hint, log = error.failure, error.hint, error.log
    if hint is not None and "sockproxy doctor" in hint:
        hint = None  # which would send from doctor to doctor: the probe has a better one
    conclusive = not is_passing(number) and not isinstance(error, MemoryError)
    lasts = conclusive and _is_of_the_kernel(error, number)
    return Outcome(False, found, hint, log, conclusive, lasts)


def _is_of_the_kernel(error: Exception, number: int | None) -> bool:
    """Whether every process will meet the same error until the next boot."""
    if isinstance(error, CgroupError | PermissionDenied) or number in ELSEWHERE:
        return False
    # EPERM may come of a seccomp filter of this process; a lockdown refuses to all.
    return number not in REFUSED or (isinstance(error, SockproxyError) and not is_filtered())


def crashed(code: int) -> Outcome:
    """What follows from the exit code of a probe that gave no answer."""
    if code >= 0:
        return Outcome(False, f"the probe crashed ({code})", lasts=False)
    known = -code in set(signal.Signals)
    name = signal.Signals(-code).name if known else f"signal {-code}"
    if name in CRASHES:
        return Outcome(False, f"the probe crashed ({name})")
    short = ": is memory short?" if name == "SIGKILL" else ""
    return Outcome(
        False, f"somebody ended the probe ({name}){short}", conclusive=False, lasts=False
    )

"""What a probe's failure says: of the kernel, of this process, or of the moment."""

from __future__ import annotations

import errno
import signal
from dataclasses import dataclass

from sockproxy.bpf.rights import is_filtered
from sockproxy.errors import CgroupError, PermissionDenied, SockproxyError, is_passing

__all__ = ["Outcome", "crashed", "failed"]

REFUSED = (errno.EPERM, errno.EACCES)
# What this process lacks in its sandbox, or somebody has just removed.
ELSEWHERE = (errno.EROFS, errno.ENOENT, errno.ENOTDIR)
# What a process gets for its own doing. Every other signal comes from somebody else: from the
# kernel when memory is short, from a limit, from an administrator.
CRASHES = ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one try; a process can send it to another.

    late: it ran out of time. The others are those of a Finding.
    """

    ok: bool
    found: str
    hint: str | None = None
    log: str | None = None
    conclusive: bool = True
    lasts: bool = True
    late: bool = False


def failed(error: Exception) -> Outcome:
    """What an error that the probe raised tells."""
    number = getattr(error, "errno", None)
    found, hint, log = str(error) or type(error).__name__, None, None
    if isinstance(error, TimeoutError):
        return Outcome(False, found, conclusive=False, lasts=False, late=True)
    if isinstance(error, SockproxyError):
        found, hint, log = error.failure, error.hint, error.log
    if hint is not None and "sockproxy doctor" in hint:
        hint = None  # this is doctor: the probe has a better one
    conclusive = not is_passing(number) and not isinstance(error, MemoryError)
    lasts = conclusive and _is_of_the_kernel(error, number)
    return Outcome(False, found, hint, log, conclusive, lasts)


def _is_of_the_kernel(error: Exception, number: int | None) -> bool:
    """Whether it will be the same for every process until the next boot."""
    if isinstance(error, CgroupError | PermissionDenied) or number in ELSEWHERE:
        return False
    # A filter of this process may have refused; a lockdown refuses to all.
    return number not in REFUSED or (isinstance(error, SockproxyError) and not is_filtered())


def crashed(code: int) -> Outcome:
    """What the exit code of a probe that gave no answer tells."""
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

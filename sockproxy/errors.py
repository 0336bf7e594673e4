"""The one tree of errors.

    SockproxyError            exit 1   what was asked for did not hold
    ├── UsageError            exit 2   the request itself is wrong
    ├── PermissionDenied      exit 3   a capability is missing
    ├── Unsupported           exit 4   this kernel or machine cannot do it
    ├── Undecided             exit 1   whether it can could not be found out
    ├── KernelError           exit 1   a system call or libbpf call failed
    └── CgroupError           exit 1   a cgroup could not be made, entered or removed

Each error carries what was being done, the errno where there is one, what to do
next, and the verifier's log where there is one.
"""

from __future__ import annotations

import errno as _errno
import os
from typing import ClassVar

# Errors of the moment, which say nothing of what was tried: the machine was short of memory, room,
# descriptors, ports or time, or another process was using the same thing.
_PASSING = frozenset(
    {
        _errno.EAGAIN,
        _errno.EBUSY,
        _errno.EINTR,
        _errno.ETIMEDOUT,
        _errno.ENOMEM,
        _errno.ENOBUFS,
        _errno.ENOSPC,
        _errno.EDQUOT,
        _errno.EMFILE,
        _errno.ENFILE,
        _errno.EADDRNOTAVAIL,
    }
)


def is_passing(number: int | None) -> bool:
    """Whether what ended with this errno may well succeed when it is tried again."""
    return number in _PASSING


class SockproxyError(Exception):
    """Base of all errors that sockproxy raises on purpose.

    doing: what was being done, as a phrase ("load splice.bpf.o").
    errno: the positive errno, if the kernel gave one.
    hint:  what the user can do next, as a sentence without a full stop.
    log:   the BPF verifier's log, if any.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        doing: str,
        *,
        errno: int | None = None,
        hint: str | None = None,
        log: str | None = None,
    ) -> None:
        super().__init__(doing)
        self.doing = doing
        self.errno = errno
        self.hint = hint
        self.log = log

    @property
    def failure(self) -> str:
        """What went wrong, without what to do about it."""
        if not self.errno:
            return self.doing
        name = _errno.errorcode.get(self.errno, str(self.errno))
        return f"{self.doing}: {os.strerror(self.errno)} ({name})"

    def __str__(self) -> str:
        return f"{self.failure}; {self.hint}" if self.hint else self.failure


class UsageError(SockproxyError):
    """The request itself is wrong: an address, a size, a combination of options."""

    exit_code = 2


class PermissionDenied(SockproxyError):
    """A capability is missing (EPERM or EACCES)."""

    exit_code = 3


class Unsupported(SockproxyError):
    """This kernel or machine cannot do what was asked."""

    exit_code = 4


class Undecided(SockproxyError):
    """Whether this kernel can do what was asked could not be found out, for the moment."""


class KernelError(SockproxyError):
    """A system call or a libbpf call failed."""


class CgroupError(SockproxyError):
    """A cgroup could not be found, made, entered or removed."""

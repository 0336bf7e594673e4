"""Accelerates TCP between sockets of one host with the kernel's sockmap.

    with sockproxy.Splicer() as splicer:
        splicer.splice(client, upstream).wait()

Errors are one tree, below SockproxyError: see sockproxy.errors.
"""

from __future__ import annotations

from sockproxy.controller import (
    DirectionStats,
    PairStats,
    Splice,
    Splicer,
    detach_stream,
    detach_transport,
)
from sockproxy.errors import (
    CgroupError,
    KernelError,
    PermissionDenied,
    SockproxyError,
    Unsupported,
    UsageError,
)

__all__ = [
    "CgroupError",
    "DirectionStats",
    "KernelError",
    "PairStats",
    "PermissionDenied",
    "SockproxyError",
    "Splice",
    "Splicer",
    "Unsupported",
    "UsageError",
    "detach_stream",
    "detach_transport",
]

__version__ = "0.1.0"

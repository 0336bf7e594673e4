"""Accelerates TCP between sockets of one host with the kernel's sockmap.

    with sockproxy.Splicer() as splicer:
        splicer.splice(client, upstream).wait()

Errors are one tree, below SockproxyError: see sockproxy.errors.
"""

from __future__ import annotations

import importlib
import typing

from sockproxy import proof
from sockproxy.errors import (
    CgroupError,
    KernelError,
    PermissionDenied,
    SockproxyError,
    Undecided,
    Unsupported,
    UsageError,
)

if typing.TYPE_CHECKING:
    from sockproxy.splicer.splicer import Splice, Splicer
    from sockproxy.splicer.streams import detach_stream, detach_transport
    from sockproxy.worker.stats import DirectionStats, PairStats

__all__ = [
    "CgroupError",
    "DirectionStats",
    "KernelError",
    "PairStats",
    "PermissionDenied",
    "SockproxyError",
    "Splice",
    "Splicer",
    "Undecided",
    "Unsupported",
    "UsageError",
    "detach_stream",
    "detach_transport",
]

__version__ = "0.1.0"

proof.prover = "sockproxy.doctor"  # which is above proof: proof cannot name it

_LATER = {
    "DirectionStats": "worker.stats",
    "PairStats": "worker.stats",
    "Splice": "splicer.splicer",
    "Splicer": "splicer.splicer",
    "detach_stream": "splicer.streams",
    "detach_transport": "splicer.streams",
}


def __getattr__(name: str) -> object:
    """Import what is asked for first: the command line passes here too, and must start fast."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(importlib.import_module(f"sockproxy.{_LATER[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

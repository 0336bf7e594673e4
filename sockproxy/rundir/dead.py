"""What the dead have left of their NAMEs: found by locks, which end with their processes."""

from __future__ import annotations

import contextlib

from sockproxy.errors import SockproxyError
from sockproxy.rundir import pins, proxies

__all__ = ["clear_dead"]


def clear_dead() -> None:
    """Remove the directories of proxies and the half-made or half-removed pins of bypasses whose
    processes are dead. What this user may not remove, or cannot now, stays for the next call."""
    with contextlib.suppress(SockproxyError):
        pins.collect()
    proxies.clear_dead()

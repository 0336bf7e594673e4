"""How much tests do, and how long they wait, on a machine that is slower than most.

Under software emulation everything takes ten to thirty times as long. SOCKPROXY_SCALE=0.05
makes the heavy tests do a twentieth; SOCKPROXY_PATIENCE=20 makes all of them wait twenty times
as long before they call it a stall. Without the two nothing changes.
"""

from __future__ import annotations

import os

__all__ = ["patience", "scaled"]


def _factor(name):
    value = os.environ.get(name) or "1"
    try:
        factor = float(value)
    except ValueError:
        factor = 0.0
    if not factor > 0:
        raise ValueError(f"{name}={value}: not a number above 0")
    return factor


def scaled(n, least=1):
    """`n` times SOCKPROXY_SCALE, but not under `least`; a whole number if `n` is one."""
    factor = _factor("SOCKPROXY_SCALE")
    if factor == 1:
        return n
    much = n * factor
    return max(least, round(much) if isinstance(n, int) else much)


def patience(seconds):
    """`seconds` times SOCKPROXY_PATIENCE: for limits that only a broken test reaches."""
    return seconds * _factor("SOCKPROXY_PATIENCE")

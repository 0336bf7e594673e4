"""The classes in which lives and sizes of connections are counted: ``native/tally.c`` has them too.

A histogram has one class more than there are bounds: that of all beyond the last one.
"""

from __future__ import annotations

__all__ = ["LIVES", "SIZES"]

LIVES = (0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 86400.0)
"""Seconds: the upper bounds."""
SIZES = tuple(10.0**power for power in range(2, 11))
"""Bytes: the upper bounds."""

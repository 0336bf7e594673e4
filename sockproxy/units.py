"""Sizes, durations and rates as people write them: ``64KiB``, ``500ms``, ``100/s``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sockproxy.errors import UsageError

__all__ = ["Rate", "format_size", "parse_duration", "parse_rate", "parse_size"]

_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
MOST_BYTES = 1 << 62  # what a number of the kernel's holds
MOST_OF_A_RATE = 1_000_000
LONGEST = 10 * 365 * 86400.0  # seconds
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "": 1.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|)", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes: ``4096``, ``64k``, ``1MiB``, ``1.5G``; every unit is a power of 1024.

    Raises UsageError.
    """
    found = _SIZE.fullmatch(text.strip())
    size = float(found[1]) * 1024 ** _POWERS[found[2].lower()] if found else -1.0
    if not 0 <= size <= MOST_BYTES:
        raise UsageError(f"size {text!r}", hint="write bytes with a unit, such as 64KiB or 1MiB")
    return int(size)


def format_size(size: int) -> str:
    """Bytes with the largest unit that leaves three digits or fewer: ``1.5 GiB``."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1000 or unit == "TiB":
            break
        value /= 1024
    return f"{size} B" if unit == "B" else f"{value:.3g} {unit}"


def parse_duration(text: str) -> float:
    """Seconds: ``2``, ``2s``, ``500ms``, ``5m``, ``1h``; more than zero, ten years at most.

    Raises UsageError.
    """
    found = _DURATION.fullmatch(text.strip())
    seconds = float(found[1]) * _SECONDS[found[2].lower()] if found else 0.0
    if not 0 < seconds <= LONGEST:
        raise UsageError(f"duration {text!r}", hint="write a time such as 500ms, 10s or 5m")
    return seconds


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in so many seconds."""

    count: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.count}/{self.seconds:g}s"


def parse_rate(text: str) -> Rate:
    """``100/s``, ``10/500ms``, ``600/10m``. Raises UsageError."""
    digits, slash, time = (part.strip() for part in text.partition("/"))
    count = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else 0
    try:
        seconds = parse_duration(time if time[:1].isdigit() else f"1{time}")
    except UsageError:
        seconds = 0.0
    if not slash or not time or not seconds or not 0 < count <= MOST_OF_A_RATE:
        raise UsageError(f"rate {text!r}", hint="write so many in a time, such as 100/s or 30/10m")
    return Rate(count, seconds)

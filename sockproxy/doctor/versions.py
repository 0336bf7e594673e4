"""Which kernel runs, by the number of kernel.org, and which versions have a bug: for gates.

A distribution's own number says little: Debian's 6.1.0-56-amd64 is kernel.org's 6.1.192.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from sockproxy.errors import SockproxyError

__all__ = ["Version", "must_not_be", "parse", "upstream", "within"]

Version = tuple[int, int, int]
SIGNATURE = Path("/proc/version_signature")  # Ubuntu's
_NUMBER = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


def upstream() -> Version:
    """The version of the running kernel at kernel.org, such as (6, 1, 192)."""
    signature = SIGNATURE.read_text() if SIGNATURE.exists() else ""
    return parse(os.uname().release, os.uname().version, signature)


def parse(release: str, version: str = "", signature: str = "") -> Version:
    """A version from uname's `release` and `version`, and Ubuntu's signature where there is one.

    Raises SockproxyError where none of them has a number.
    """
    # "Ubuntu 6.8.0-57.59-generic 6.8.12", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-01)"
    debian = version.partition("Debian ")[2]
    for text in (signature.rpartition(" ")[2], debian, release):
        if found := _NUMBER.match(text):
            return int(found[1]), int(found[2]), int(found[3] or 0)
    raise SockproxyError(f"{release!r} is no kernel's version")


def within(version: Version, ranges: Iterable[tuple[str, str]]) -> bool:
    """Whether a version lies in one of the ranges [first, mended)."""
    return any(parse(first) <= version < parse(mended) for first, mended in ranges)


def must_not_be(ranges: Sequence[tuple[str, str]]) -> str:
    """A phrase that the running kernel is in none of the ranges; raises SockproxyError if it is.

    A vendor that carries fixes back under the number of the first release (5.14.0-503.el9) may
    have carried the bug back as well: of such a kernel nothing can be told.
    """
    version, release = upstream(), os.uname().release
    told = ".".join(map(str, version))
    if within(version, ranges):
        raise SockproxyError(f"in {told}")
    if _hides(release, version) and version < max(parse(mended) for _, mended in ranges):
        raise SockproxyError(f"cannot be told of {release}")
    return f"not in {told}"


def _hides(release: str, version: Version) -> bool:
    """Whether a release has a vendor's number behind X.Y.0, and so not that of kernel.org."""
    return version[2] == 0 and "-" in release and "-rc" not in release

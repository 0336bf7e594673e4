"""A file of lines that only grows, in which each line names the one before it by its digest.

Whoever changes or removes a line without writing all that follow anew breaks that chain, and so
does a line that was written by halves. Who may write the file may do the former: to be safe from
that, ship its lines to another machine.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sockproxy.errors import SockproxyError

__all__ = ["Entry", "Trail", "stamp"]

FOLDER = Path("/var/log/sockproxy")
FILE = "audit.jsonl"
PLACE = "SOCKPROXY_AUDIT"  # a variable: another folder, or "off"
LONGEST = 64 << 10  # bytes of a line
FIRST = ""  # what the first line names


def stamp(at: datetime) -> str:
    """A time as lines have it, so that they are in its order as texts: in UTC, with
    microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


@dataclass(frozen=True, slots=True)
class Entry:
    """A line: its number, from 1, and what it says. intact: it names the one before it."""

    number: int
    says: Mapping[str, Any]
    intact: bool


class Trail:
    """The trail of this machine, or that in `folder`."""

    def __init__(self, folder: Path | None = None) -> None:
        place = os.environ.get(PLACE, "")
        self.is_kept = folder is not None or place != "off"
        self.path = (folder or Path(place or FOLDER)) / FILE

    def append(self, says: Mapping[str, Any]) -> None:
        """Add a line, if one is kept. Raises SockproxyError."""
        if not self.is_kept:
            return
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "r+b", buffering=0) as file:
                fcntl.flock(fd, fcntl.LOCK_EX)
                last, is_whole = _last_line(fd)
                line = json.dumps({"after": last, **says}).encode() + b"\n"
                file.write(line if is_whole else b"\n" + line)
        except OSError as error:
            raise SockproxyError(f"write {self.path}", errno=error.errno) from None

    def read(self) -> Iterator[Entry]:
        """All lines; none where there is no such file. Raises SockproxyError."""
        before = FIRST
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    says = _parsed(line)
                    yield Entry(number, says, says.get("after") == before)
                    before = _digest(line)
        except FileNotFoundError:
            return
        except OSError as error:
            raise SockproxyError(f"read {self.path}", errno=error.errno) from None


def _last_line(fd: int) -> tuple[str, bool]:
    """The digest of the last line, and whether it has an end."""
    size = os.fstat(fd).st_size
    tail = os.pread(fd, LONGEST, max(0, size - LONGEST))
    if not tail:
        return FIRST, True
    is_whole = tail.endswith(b"\n")
    line = tail.removesuffix(b"\n").rpartition(b"\n")[2]
    return _digest(line), is_whole


def _digest(line: bytes) -> str:
    return hashlib.sha256(line.removesuffix(b"\n")).hexdigest()


def _parsed(line: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}

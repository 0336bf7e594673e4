"""Lines that only become more, in which each line names the one before it by its digest, also where
that is in a file which was put aside since.

Whoever changes or removes a line without writing all that follow anew breaks that chain, and so
does a line that was written by halves. Who may write the file may do the former: to be safe from
that, ship its lines to another machine.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any

from sockproxy.audit.files import files_of, lines_of
from sockproxy.errors import SockproxyError

__all__ = ["Entry", "Trail", "stamp"]

FOLDER = Path("/var/log/sockproxy")
FILE, LOCK = "audit.jsonl", "audit.lock"
PLACE = "SOCKPROXY_AUDIT"  # a variable: another folder, or "off"
LONGEST = 64 << 10  # bytes of a line
FIRST = ""  # what the first line names


def stamp(at: datetime) -> str:
    """A time as lines have it, so that they are in its order as texts: in UTC, with
    microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


@dataclass(frozen=True, slots=True)
class Entry:
    """A line: its file, its number there, from 1, and what it says. intact: it names the one before
    it, or is the first of all."""

    file: Path
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
            # A lock of the file itself would not keep others from the one that takes its place.
            with _opened(self.path.with_name(LOCK), os.O_RDWR) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._append(says)
        except OSError as error:
            raise SockproxyError(f"write {self.path}", errno=error.errno) from None

    def _append(self, says: Mapping[str, Any]) -> None:
        with _opened(self.path, os.O_RDWR | os.O_APPEND) as file:
            last, is_whole = self._last_line(file.fileno())
            line = json.dumps({"after": last, **says}).encode() + b"\n"
            file.write(line if is_whole else b"\n" + line)

    def read(self) -> Iterator[Entry]:
        """All lines, of files that were put aside as well; none where there is no such file. Raises
        SockproxyError."""
        before = FIRST
        try:
            for path in files_of(self.path):
                for number, line in enumerate(lines_of(path), 1):
                    says = _parsed(line)
                    yield Entry(path, number, says, says.get("after") == before)
                    before = _digest(line)
        except FileNotFoundError:
            return
        except (OSError, EOFError, zlib.error) as error:
            raise SockproxyError(
                f"read {self.path} and what was put aside: {error}",
                errno=getattr(error, "errno", None),
            ) from None

    def _last_line(self, fd: int) -> tuple[str, bool]:
        """The digest of the line before the next one, and whether it has an end."""
        size = os.fstat(fd).st_size
        tail = os.pread(fd, LONGEST, max(0, size - LONGEST))
        if not tail:
            return self._last_aside(), True
        is_whole = tail.endswith(b"\n")
        line = tail.removesuffix(b"\n").rpartition(b"\n")[2]
        return _digest(line), is_whole

    def _last_aside(self) -> str:
        """The digest of the last line of the file that was put aside last."""
        aside = [each for each in files_of(self.path) if each != self.path]
        if not aside:
            return FIRST
        line = b""
        for each in lines_of(aside[-1]):
            line = each
        return _digest(line) if line else FIRST


def _opened(path: Path, flags: int) -> FileIO:
    """The file, which is its owner's alone where this makes it."""
    return FileIO(os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")


def _digest(line: bytes) -> str:
    return hashlib.sha256(line.removesuffix(b"\n")).hexdigest()


def _parsed(line: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}

"""Lines that only become more, in which each line names the one before it by its digest, also where
that is in a file which was put aside since.

Whoever changes or removes a line without writing all that follow anew breaks that chain, and so
does a line that was written by halves. Who may write the file may do the former: to be safe from
that, ship its lines to another machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import hashlib
import json
import os
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

from sockproxy.audit.files import UNREADABLE, opened, put_aside
from sockproxy.errors import SockproxyError

__all__ = ["Entry", "Trail", "now", "stamp"]

FOLDER = Path("/var/log/sockproxy")
FILE, LOCK = "audit.jsonl", "audit.lock"
PLACE = "SOCKPROXY_AUDIT"  # a variable: another folder, or "off"
LONGEST = 64 << 10  # bytes of a line
FIRST = ""  # what the first line names


def stamp(at: datetime) -> str:
    """A time as lines have it, so that they are in its order as texts: in UTC, with
    microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def now() -> str:
    """The time, as stamp() has it."""
    return stamp(datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Entry:
    """A line: its file, its number there, from 1, and what it says. time: of that, or of the line
    before where it says none. intact: it names the one before it, or is the first of all.
    unreadable: why this line of its file, and those behind it, cannot be read."""

    file: Path
    number: int
    says: Mapping[str, Any]
    time: str
    intact: bool = True
    unreadable: str = ""


class Trail:
    """The trail of this machine, or that in `folder`."""

    def __init__(self, folder: Path | None = None) -> None:
        place = os.environ.get(PLACE, "")
        self.is_kept = folder is not None or place != "off"
        self.path = (folder or Path(place or FOLDER)) / FILE

    def append(self, says: Mapping[str, Any]) -> None:
        """Add a line, if one is kept, with the time. Raises SockproxyError."""
        if not self.is_kept:
            return
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # A lock of the file itself would not keep others from the one that takes its place.
            with _file(self.path.with_name(LOCK), os.O_RDWR) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._append(says)
        except OSError as error:
            raise SockproxyError(f"write {self.path}", errno=error.errno) from None

    def _append(self, says: Mapping[str, Any]) -> None:
        with _file(self.path, os.O_RDWR | os.O_APPEND) as file:
            before, is_whole = _tail(file)
            after = self._last_aside() if before is None else _digest(before)
            line = json.dumps({"after": after, "time": now(), **says}).encode() + b"\n"
            file.write(line if is_whole else b"\n" + line)

    def _last_aside(self) -> str:
        """The digest of the last line of the file that was put aside last; FIRST where there is
        none, or it cannot be read: what is written now matters more."""
        with contextlib.suppress(*UNREADABLE):
            for path in put_aside(self.path)[-1:]:
                if path.suffix == ".gz":
                    with gzip.open(path, "rb") as packed:
                        last = (deque(packed, maxlen=1) or [b""])[0]
                else:
                    with _file(path, os.O_RDONLY) as file:
                        last = _tail(file)[0] or b""
                return _digest(last) if last else FIRST
        return FIRST

    def grows(self) -> int:
        """Which file grows now: its inode's number, or 0 where there is none."""
        try:
            return self.path.stat().st_ino
        except OSError:
            return 0

    def read(self) -> Iterator[Entry]:
        """All lines, of files that were put aside as well; none where there is no file. Raises
        SockproxyError where none can be read."""
        before: str | None = FIRST
        time = ""
        with contextlib.ExitStack() as held:
            try:
                files = self._opened(held)
            except OSError as error:
                raise SockproxyError(f"read {self.path}", errno=error.errno) from None
            for path, file in files:
                number = 0
                try:
                    for number, line in enumerate(file, 1):
                        says = _parsed(line)
                        time = str(says.get("time", time))
                        is_intact = before in (None, says.get("after"))
                        yield Entry(path, number, says, time, is_intact)
                        before = _digest(line)
                except UNREADABLE as error:
                    time = max(time, _last_write(file))
                    yield Entry(path, number + 1, {}, time, unreadable=str(error))
                    before = None  # what its last line was is not known

    def _opened(self, held: contextlib.ExitStack) -> list[tuple[Path, BinaryIO]]:
        """As opened() has it. While nobody writes there is no new file to be put aside as well."""
        with contextlib.ExitStack() as meanwhile:
            with contextlib.suppress(FileNotFoundError):  # nobody has ever written
                lock = meanwhile.enter_context(_file(self.path.with_name(LOCK), os.O_RDONLY))
                fcntl.flock(lock, fcntl.LOCK_SH)
            return opened(self.path, held)


def _file(path: Path, flags: int) -> FileIO:
    """The file, which is its owner's alone where this makes it."""
    mode = "r" if flags == os.O_RDONLY else "r+"
    create = 0 if flags == os.O_RDONLY else os.O_CREAT
    return FileIO(os.open(path, flags | create | os.O_CLOEXEC, 0o600), mode)


def _tail(file: FileIO) -> tuple[bytes | None, bool]:
    """The last line, None where there is none; and whether it has an end."""
    fd = file.fileno()
    tail = os.pread(fd, LONGEST, max(0, os.fstat(fd).st_size - LONGEST))
    if not tail:
        return None, True
    return tail.removesuffix(b"\n").rpartition(b"\n")[2], tail.endswith(b"\n")


def _last_write(file: BinaryIO) -> str:
    """When the file was last written, which compressing it leaves as it was."""
    return stamp(datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC))


def _digest(line: bytes) -> str:
    return hashlib.sha256(line.removesuffix(b"\n")).hexdigest()


def _parsed(line: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}

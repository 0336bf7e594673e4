"""The one recorder of a machine: it holds a lock, and the lock's file tells when it last lived."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from sockproxy.audit.trail import stamp
from sockproxy.errors import SockproxyError

__all__ = ["Alive", "last_alive", "only_recorder"]

FILE = "recorder"


class Alive:
    """The lock is ours. before: when the recorder before this last lived, or None."""

    def __init__(self, fd: int, before: str | None) -> None:
        self._fd, self.before = fd, before

    def live(self) -> None:
        """Now; to be called every second."""
        os.utime(self._fd)


@contextlib.contextmanager
def only_recorder(folder: Path) -> Iterator[Alive]:
    """Raises SockproxyError where another records, and where the folder cannot be written."""
    path = folder / FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        before = _time_of(path)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SockproxyError(f"write {path}", errno=error.errno) from None
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SockproxyError(
                "another records already", hint="'sockproxy audit' shows what it has written"
            ) from None
        yield Alive(fd, before)
    finally:
        os.close(fd)


def last_alive(folder: Path) -> tuple[str | None, bool]:
    """When a recorder last lived, and whether one does now."""
    path = folder / FILE
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None, False
    except BlockingIOError:
        return _time_of(path), True
    except OSError as error:
        raise SockproxyError(f"read {path}", errno=error.errno) from None
    return _time_of(path), False


def _time_of(path: Path) -> str | None:
    try:
        at = path.stat().st_mtime
    except FileNotFoundError:
        return None
    return stamp(datetime.fromtimestamp(at, UTC))

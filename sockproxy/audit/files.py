"""The files of a trail: the one that grows, and those that logrotate has put aside."""

from __future__ import annotations

import errno
import gzip
import os
import re
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

__all__ = ["UNREADABLE", "opened", "put_aside"]

UNREADABLE = (OSError, EOFError, zlib.error)  # of a damaged gzip file, too
# Behind the name of the one that grows: logrotate counts, with `dateext` by days.
ASIDE = re.compile(r"(?:\.(?P<count>\d+)|-(?P<day>\d{8})(?:-(?P<second>\d+))?)(?P<packed>\.gz)?")
TRIES = 10


def put_aside(path: Path) -> list[Path]:
    """Those of the trail at `path` that were put aside, the oldest first."""
    found: dict[str, tuple[tuple[int, int, int], Path]] = {}
    for each in path.parent.glob(f"{path.name}?*"):
        if kind := ASIDE.fullmatch(each.name.removeprefix(path.name)):
            order = int(kind["day"] or 0), int(kind["second"] or 0), -int(kind["count"] or 0)
            plain = each.name.removesuffix(".gz")
            if not kind["packed"] or plain not in found:  # both are there while it is compressed
                found[plain] = order, each
    return [each for _, each in sorted(found.values())]


def opened(path: Path, held: ExitStack) -> list[tuple[Path, BinaryIO]]:
    """All that there are of the trail at `path`, the oldest first, as they are at one moment:
    logrotate may be putting some aside. `held` closes them. Raises OSError."""
    for _ in range(TRIES):
        names = [*put_aside(path), *([path] if path.exists() else [])]
        with ExitStack() as tried:
            try:
                files = [(each, tried.enter_context(each.open("rb"))) for each in names]
                is_same = all(_is_at(each, file) for each, file in files)
            except FileNotFoundError:
                continue
            if is_same:
                held.push(tried.pop_all())
                return [(each, _unpacked(each, file)) for each, file in files]
    raise OSError(errno.EAGAIN, "its files keep changing")


def _is_at(path: Path, file: BinaryIO) -> bool:
    return os.path.samestat(os.fstat(file.fileno()), path.stat())


def _unpacked(path: Path, file: BinaryIO) -> BinaryIO:
    if path.suffix != ".gz":
        return file
    return gzip.GzipFile(fileobj=file)  # type: ignore[return-value]  # it is one in all but name

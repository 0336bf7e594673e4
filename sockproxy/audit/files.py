"""The files of a trail: the one that grows, and those that logrotate has put aside."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["files_of", "lines_of"]

ASIDE = re.compile(r"(\.\d+|-\d{8}(-\d+)?)(\.gz)?")  # behind the name of the one that grows


def files_of(path: Path) -> list[Path]:
    """Those that there are of the trail at `path`, the oldest first. Raises OSError."""
    found: dict[bytes, Path] = {}
    for each in sorted(path.parent.glob(f"{path.name}*")):
        if each != path and ASIDE.fullmatch(each.name.removeprefix(path.name)):
            found.setdefault(_first_line(each), each)  # one, also while it is being compressed
    aside = [found[line] for line in sorted(found, key=_time_of)]
    return [*aside, path] if path.exists() else aside


def lines_of(path: Path) -> Iterator[bytes]:
    """Each line. Raises OSError."""
    with _opened(path) as file:
        yield from file


def _opened(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]  # GzipFile is one in all but name
    return path.open("rb")


def _first_line(path: Path) -> bytes:
    with _opened(path) as file:
        return file.readline()


def _time_of(line: bytes) -> str:
    try:
        return str(json.loads(line)["time"])
    except (ValueError, KeyError, TypeError):
        return ""

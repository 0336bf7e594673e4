"""TOML files, checked key by key as they are read: scenarios, peers, configuration.

Every error is a UsageError of one line that names the file, the line where the TOML tells it, the
table and the key: ``mine.toml:7: case 2: size: must be from 1 byte to 1 GiB``.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sockproxy.errors import UsageError
from sockproxy.units import format_size, parse_duration, parse_size

__all__ = ["Table", "read_table"]

T = TypeVar("T")
V = TypeVar("V")
MOST_BYTES = 4 << 20  # of a file: /dev/zero never ends
_HEADER = re.compile(r"\s*(\[\[?)\s*([\w-]+(?:\s*\.\s*[\w-]+)*)\s*\]")
_KEY = re.compile(r"\s*([\w-]+)\s*=")
_OPAQUE = re.compile(
    r"""
    \#[^\n]*                          # a comment
    | \"{3} (?:\\.|[^\\])*? \"{3}     # strings of several lines
    | '{3} .*? '{3}
    | "(?:\\.|[^"\\\n])*"            # strings of one line
    | '[^'\n]*'
    """,
    re.VERBOSE | re.DOTALL,
)
_SYNTAX = re.compile(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", re.DOTALL)


def read_table(path: Path, known: Collection[str]) -> Table:
    """The table of a whole file. known: the keys that it may have.

    Raises UsageError for a file that cannot be read, is no TOML, or has other keys.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"read {path}", errno=error.errno) from None
    if len(content) > MOST_BYTES:
        raise UsageError(f"{path}: is too large for a TOML file")
    try:
        text = content.decode()
        found = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{line}: is no UTF-8") from None
    except RecursionError:
        raise UsageError(f"{path}: is nested too deeply") from None
    except ValueError as error:
        raise _syntax_error(path, str(error), text) from None
    return Table(found, path, known, lines=_key_lines(text))


class Table:
    """One table of a file, whose entries are checked as they are taken.

    content: what tomllib has made of it. known: the keys that it may have. name: what errors call
    it, "" for the file's own. lines: the lines of the file's keys, by name of table and key.

    All methods that take an entry raise UsageError when it is missing or is not what it must be.
    """

    def __init__(
        self,
        content: Any,
        path: Path,
        known: Collection[str],
        *,
        name: str = "",
        lines: dict[tuple[str, str], int] | None = None,
    ) -> None:
        self.path = path
        self._name = name
        self._lines = lines or {}
        if not isinstance(content, dict):
            raise UsageError(f"{path}: {name}: must be a table")
        self._content = content
        if unknown := sorted(content.keys() - set(known)):
            raise self.wrong(unknown[0], f"unknown; known are {', '.join(sorted(known))}")

    def wrong(self, key: str, why: str) -> UsageError:
        """The error that the entry of `key` is wrong; `why` follows file, line, table and key."""
        line = self._lines.get((self._name, key)) or self._lines.get((self._name, ""))
        place = f"{self.path}:{line}" if line else f"{self.path}"
        return UsageError(": ".join(filter(None, (place, self._name, key, why))))

    def has(self, key: str) -> bool:
        """Whether there is an entry."""
        return key in self._content

    def if_there(self, key: str, take: Callable[[str], T]) -> T | None:
        """What `take` makes of the entry; None where there is none."""
        return take(key) if self.has(key) else None

    def parsed(self, key: str, parse: Callable[[V], T], value: V) -> T:
        """What `parse` makes of what the entry has; a UsageError of its says where that is."""
        try:
            return parse(value)
        except UsageError as error:
            raise self.wrong(key, str(error)) from None

    def text(self, key: str, default: str | None = None) -> str:
        """A text; `default` where there is none."""
        found = self._get(key, default)
        if not isinstance(found, str):
            raise self.wrong(key, "must be a text")
        return found

    def word(self, key: str, among: Sequence[str], default: str | None = None) -> str:
        """A text that is one of these; `default` where there is none."""
        found = self.text(key, default)
        self._check(key, found, among)
        return found

    def texts(self, key: str) -> list[str]:
        """A list of texts, at least one, such as a command line."""
        return self._list(key, self._get(key, None), "must be a list of texts")

    def words(
        self, key: str, default: Sequence[str] | None = None, among: Sequence[str] | None = None
    ) -> list[str]:
        """A list of texts, at least one and each once; a text or a number alone is a list of it.

        among: what each must be one of.
        """
        found = self._get(key, default)
        found = [found] if isinstance(found, str | int) else found
        words = self._list(key, found, "must be a text or a list of texts")
        for each in words:
            if among is not None:
                self._check(key, each, among)
        if len(set(words)) < len(words):
            raise self.wrong(key, "has something twice")
        return words

    def flag(self, key: str, default: bool = False) -> bool:
        """true or false; `default` where there is none."""
        found = self._get(key, default)
        if not isinstance(found, bool):
            raise self.wrong(key, "must be true or false")
        return found

    def number(self, key: str, default: int | None, least: int, most: int) -> int:
        """A whole number from `least` to `most`; `default` where there is none."""
        return self._number(key, self._get(key, default), least, most)

    def numbers(self, key: str, default: Sequence[int], least: int, most: int) -> list[int]:
        """A list of such numbers; a number alone is a list of it."""
        found = self._get(key, default)
        found = found if isinstance(found, list | tuple) else [found]
        return [self._number(key, each, least, most) for each in found]

    def sizes(self, key: str, default: Sequence[str], least: int, most: int) -> list[int]:
        """A list of sizes in bytes, which are written as parse_size() has them."""
        return [self._size(key, text, least, most) for text in self.words(key, default)]

    def size(self, key: str, default: str, least: int, most: int) -> int:
        """One such size, as a text or a number of bytes."""
        found = self._get(key, default)
        if not isinstance(found, str | int) or isinstance(found, bool):
            raise self.wrong(key, 'must be a size, such as "64KiB"')
        return self._size(key, str(found), least, most)

    def _size(self, key: str, text: str, least: int, most: int) -> int:
        size = self.parsed(key, parse_size, text)
        if not least <= size <= most:
            raise self.wrong(key, f"must be from {_bytes(least)} to {_bytes(most)}")
        return size

    def duration(self, key: str, default: float | None = None) -> float:
        """Seconds, written as parse_duration() has them; `default` where there is none."""
        found = self._get(key, default)
        if not isinstance(found, str | int | float) or isinstance(found, bool):
            raise self.wrong(key, 'must be a time, such as "10s"')
        return self.parsed(key, parse_duration, str(found))

    def tables(self, key: str, known: Collection[str]) -> list[Table]:
        """The tables ``[[key]]``, at least one. known: the keys that each may have.

        Errors call them "case 1", "case 2" where the key is "case", and within another table
        "service 1: route 2".
        """
        found = self._get(key, None)
        if not isinstance(found, list) or not found:
            raise self.wrong(key, f"must be tables: [[{key}]]")
        return [
            Table(each, self.path, known, name=self._within(f"{key} {number}"), lines=self._lines)
            for number, each in enumerate(found, 1)
        ]

    def table(self, key: str, known: Collection[str]) -> Table:
        """The table ``[key]``, or ``[this.key]``. Errors call it "case 1: key"."""
        found = self._get(key, None)
        if not isinstance(found, dict):
            raise self.wrong(key, "must be a table")
        return self._inner(found, key, known, key)

    def texts_or_tables(self, key: str, known: Collection[str]) -> list[str | Table]:
        """A list of texts and tables, at least one; one alone is a list of it. Errors call a table
        "case 1: key 2", where it is the second of them."""
        found = self._get(key, None)
        found = found if isinstance(found, list) else [found]
        if not found or not all(isinstance(each, str | dict) for each in found):
            raise self.wrong(key, "must be a text or a table, or a list of such")
        return [
            each if isinstance(each, str) else self._inner(each, f"{key} {number}", known, key)
            for number, each in enumerate(found, 1)
        ]

    def _inner(self, content: Any, called: str, known: Collection[str], key: str) -> Table:
        """One whose line is that of `key`, unless it has a header of its own."""
        name = self._within(called)
        line = self._lines.get((self._name, key)) or self._lines.get((self._name, ""))
        lines = {(name, ""): line, **self._lines} if line else self._lines
        return Table(content, self.path, known, name=name, lines=lines)

    def _within(self, name: str) -> str:
        return f"{self._name}: {name}" if self._name else name

    def _get(self, key: str, default: Any) -> Any:
        found = self._content.get(key, default)
        if found is None:
            raise self.wrong(key, "missing")
        return found

    def _list(self, key: str, found: Any, must: str) -> list[str]:
        if not isinstance(found, list | tuple) or not found:
            raise self.wrong(key, must)
        if not all(isinstance(each, str | int) and not isinstance(each, bool) for each in found):
            raise self.wrong(key, must)
        return [str(each) for each in found]

    def _check(self, key: str, word: str, among: Sequence[str]) -> None:
        if word not in among:
            raise self.wrong(key, f"{word!r} is none of {', '.join(among)}")

    def _number(self, key: str, found: Any, least: int, most: int) -> int:
        if not isinstance(found, int) or isinstance(found, bool) or not least <= found <= most:
            raise self.wrong(key, f"must be a whole number from {least} to {most}")
        return found


def _bytes(size: int) -> str:
    return "1 byte" if size == 1 else format_size(size)


def _syntax_error(path: Path, why: str, text: str) -> UsageError:
    """tomllib tells the line at the end of its message, but not when it is the last one."""
    found = _SYNTAX.fullmatch(why)
    if found is None:
        return UsageError(f"{path}: {why}")
    line = found[2] or max(1, len(text.splitlines()))
    return UsageError(f"{path}:{line}: {found[1]}")


def _key_lines(text: str) -> dict[tuple[str, str], int]:
    """The lines of keys that begin a line, by table and key; of a table's header, key "".

    tomllib does not tell them. Comments and strings are blanked out first, as they may hold
    anything.
    """
    blank = _OPAQUE.sub(lambda found: "\n" * found[0].count("\n"), text)
    lines: dict[tuple[str, str], int] = {}
    counts: Counter[str] = Counter()
    name = ""
    for number, line in enumerate(blank.split("\n"), 1):
        if header := _HEADER.match(line):
            path = re.sub(r"\s", "", header[2])
            outer, own = _outer(path, counts)
            lines.setdefault((outer, own), number)
            if header[1] == "[[":
                for within in [each for each in counts if each.startswith(f"{path}.")]:
                    del counts[within]  # they count from 1 in each
                counts[path] += 1
                own = f"{own} {counts[path]}"
            name = f"{outer}: {own}" if outer else own
            lines.setdefault((name, ""), number)
        elif key := _KEY.match(line):
            lines.setdefault((name, key[1]), number)
    return lines


def _outer(header: str, counts: Counter[str]) -> tuple[str, str]:
    """The name of the table within which that of the header is, and its own key."""
    *outer, key = header.split(".")
    paths = [".".join(outer[: depth + 1]) for depth in range(len(outer))]
    names = [
        f"{each} {counts[path]}" if counts[path] else each
        for each, path in zip(outer, paths, strict=True)
    ]
    return ": ".join(names), key

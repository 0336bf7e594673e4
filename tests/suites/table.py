"""The table of suites and modes, tests/suites/suites.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

from tests.suites.errors import SuiteError
from tests.suites.kinds import KINDS, Kind

__all__ = ["CHECKOUT", "PLAIN", "Mode", "Suite", "Table", "chosen", "read_table"]

CHECKOUT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("suites.toml")
PLAIN = "plain"
Row = TypeVar("Row", "Mode", "Suite")


@dataclass(frozen=True, slots=True)
class Mode:
    """A way to run suites beside plain TCP; suites.toml tells what the fields mean."""

    name: str
    options: Sequence[str]
    counts: bool


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite; suites.toml tells what the fields mean."""

    name: str
    title: str
    kind: str
    parts: Sequence[str]
    minutes: float
    source: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def how(self) -> Kind:
        """The kind of the suite: how its tests are run, and its report is read."""
        return KINDS[self.kind]

    def wanted(self, parts: Sequence[str], patterns: Sequence[str]) -> list[str]:
        """Those of `parts` that the table asks for, and that one of `patterns` fits."""
        return [each for each in parts if _fits(each, self.parts) and _fits(each, patterns)]


@dataclass(frozen=True, slots=True)
class Table:
    """The modes and the suites of the table, in its order."""

    modes: Sequence[Mode]
    suites: Sequence[Suite]


def read_table(path: Path = TABLE) -> Table:
    """Read the table. Raises SuiteError, which names the file and the row that is wrong."""
    try:
        data = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SuiteError(f"{path}: {error}") from None
    modes = [_row(Mode, path, each) for each in data.get("mode", [])]
    suites = [_row(Suite, path, each) for each in data.get("suite", [])]
    if unknown := {each.kind for each in suites} - KINDS.keys():
        raise SuiteError(f"{path}: no kind {', '.join(sorted(unknown))}")
    return Table(modes, suites)


def _row(kind: type[Row], path: Path, row: dict[str, Any]) -> Row:
    known = {each.name for each in fields(kind)}
    if unknown := row.keys() - known:
        raise SuiteError(f"{path}: {row.get('name')}: nobody knows {', '.join(sorted(unknown))}")
    try:
        return kind(**row)
    except TypeError as error:
        raise SuiteError(f"{path}: {row.get('name')}: {error}") from None


def chosen(table: Table, words: Sequence[str]) -> list[tuple[Suite, Sequence[str]]]:
    """Suites, each with patterns of its parts, that words such as redis or redis/unit/* mean;
    without words all of them. Raises SuiteError."""
    wanted: dict[str, list[str]] = {}
    for word in words:
        name, _, part = word.partition("/")
        wanted.setdefault(name, []).append(part or "*")
    if unknown := wanted.keys() - {each.name for each in table.suites}:
        there = ", ".join(each.name for each in table.suites)
        raise SuiteError(f"no suite {', '.join(sorted(unknown))}", f"there are {there}")
    return [
        (suite, wanted.get(suite.name, ["*"]))
        for suite in table.suites
        if not words or suite.name in wanted
    ]


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, each) for each in patterns)

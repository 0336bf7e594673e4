"""Scenarios: TOML files that say which tools run through which systems, where, how often.

    title = "..."            one line
    rounds = 6               turns of every system at every case, besides the warm-up
    seconds = 1              length of one run
    against = ["plain"]      systems that the others are compared with

    [[case]]                 may be repeated
    tool = "netperf"         one of sockproxy.bench.load
    test = "TCP_RR"          one of that tool's
    systems = ["plain", "bypass", "haproxy", "envoy+bypass"]
    size = ["64", "16KiB"]           bytes of a message; the tool's own when left out
    connections = [1]                at a time
    topology = ["loopback"]          or "veth", "sidecars"
    placement = ["together"]         or "apart", "free"

The last four may be lists: then there is a case for each combination.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sockproxy.bench.load import TOOLS
from sockproxy.bench.workplace import data_folder
from sockproxy.errors import UsageError
from sockproxy.units import format_size, parse_size

__all__ = ["PLACEMENTS", "TOPOLOGIES", "Case", "Scenario", "find_scenario", "scenario_files"]

TOPOLOGIES = {
    "loopback": "loopback",
    "veth": "veth between two namespaces",
    "sidecars": "veth, a proxy on both sides",
}
PLACEMENTS = {
    "together": "all on one CPU",
    "apart": "client and proxies on one CPU, server on another",
    "free": "not pinned",
}
MOST_CONNECTIONS = 1000
RUN_OVERHEAD, CASE_OVERHEAD = 0.3, 3.0  # seconds, as measured on two slow CPUs
_SYSTEM = re.compile(r"[a-z0-9-]+(\+bypass)?")
_SCENARIO = {"title", "rounds", "seconds", "against", "case"}
_CASE = {"tool", "test", "systems", "size", "connections", "topology", "placement"}


@dataclass(frozen=True, slots=True)
class Case:
    """One load in one place. size: bytes of a message. seconds: length of one run."""

    tool: str
    test: str
    systems: tuple[str, ...]
    size: int
    connections: int
    topology: str
    placement: str
    seconds: int

    @property
    def key(self) -> str:
        """Unlike that of any other case of its scenario."""
        size = format_size(self.size).replace(" ", "")
        words = [self.tool, self.test, size, str(self.connections), self.topology, self.placement]
        return "-".join(words).lower()

    @property
    def title(self) -> str:
        """For people: what runs, and where."""
        many = f", {self.connections} connections" if self.connections > 1 else ""
        return (
            f"{TOOLS[self.tool].title} {self.test}, {format_size(self.size)}{many};"
            f" {TOPOLOGIES[self.topology]}, {PLACEMENTS[self.placement]}"
        )


@dataclass(frozen=True, slots=True)
class Scenario:
    """What one run does. against: what the other systems are compared with."""

    name: str
    title: str
    rounds: int
    seconds: int
    against: tuple[str, ...]
    cases: tuple[Case, ...]

    @property
    def runs(self) -> int:
        """How many times a tool runs, warm-ups included."""
        return sum(len(case.systems) for case in self.cases) * (self.rounds + 1)

    @property
    def expected_seconds(self) -> float:
        """How long all of it takes, roughly."""
        return self.runs * (self.seconds + RUN_OVERHEAD) + len(self.cases) * CASE_OVERHEAD

    def narrowed(
        self,
        rounds: int | None,
        seconds: int | None,
        only: Sequence[str],
        systems: Sequence[str],
    ) -> Scenario:
        """The same with other numbers, with some of the cases, or with some of the systems.

        Raises UsageError when nothing is left.
        """
        seconds = seconds or self.seconds
        kept = [
            each
            for each in self.cases
            if not only or any(word.lower() in each.key for word in only)
        ]
        wanted = {*systems, *self.against}
        cases = [
            replace(
                case,
                seconds=seconds,
                systems=tuple(key for key in case.systems if not systems or key in wanted),
            )
            for case in kept
            if not systems or set(systems) & set(case.systems)
        ]
        if not cases:
            asked = ", ".join((*only, *systems))
            raise UsageError(
                f"{self.name} has no case with {asked}",
                hint=f"its cases are {', '.join(case.key for case in self.cases)}",
            )
        return replace(self, rounds=rounds or self.rounds, seconds=seconds, cases=tuple(cases))


def scenario_files() -> dict[str, Path]:
    """The scenarios that come with sockproxy, by name."""
    return {path.stem: path for path in sorted((data_folder() / "scenarios").glob("*.toml"))}


def find_scenario(name: str) -> Scenario:
    """By the name of one that comes with sockproxy, or the path of a file.

    Raises UsageError, which names the file and the key that is wrong.
    """
    path = scenario_files().get(name, Path(name))
    if path.suffix != ".toml":
        raise UsageError(
            f"no scenario {name}",
            hint=f"there are {', '.join(scenario_files())}; or give the path of a .toml",
        )
    return _read(path)


def _read(path: Path) -> Scenario:
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"read {path}", errno=error.errno) from None
    except (ValueError, RecursionError) as error:  # no TOML, or no UTF-8
        raise UsageError(f"{path}: {error}") from None
    table = _Table(content, f"{path}", _SCENARIO)
    seconds = table.number("seconds", 1, 1, 3600)
    cases = [
        case
        for number, entry in enumerate(table.tables("case"), 1)
        for case in _cases(_Table(entry, f"{path}: case {number}", _CASE), seconds)
    ]
    keys = [case.key for case in cases]
    if twice := {key for key in keys if keys.count(key) > 1}:
        raise UsageError(f"{path}: the case {twice.pop()} is there twice")
    return Scenario(
        name=path.stem,
        title=table.text("title"),
        rounds=table.number("rounds", 6, 1, 1000),
        seconds=seconds,
        against=tuple(table.words("against", ["plain"])),
        cases=tuple(cases),
    )


def _cases(table: _Table, seconds: int) -> list[Case]:
    name = table.word("tool", list(TOOLS))
    tool = TOOLS[name]
    test = table.word("test", list(tool.tests))
    systems = tuple(table.words("systems", None))
    for system in systems:
        if not _SYSTEM.fullmatch(system):
            raise table.wrong("systems", f"{system!r} is no system")
    sizes = [table.size(size) for size in table.words("size", [str(tool.tests[test].size)])]
    connections = table.numbers("connections", 1, MOST_CONNECTIONS)
    if not tool.tests[test].many and connections != [1]:
        raise table.wrong("connections", f"{name} {test} has one")
    if not tool.tests[test].sized and table.has("size"):
        raise table.wrong("size", f"that of {name} {test} cannot be chosen")
    topologies = table.words("topology", ["loopback"], among=list(TOPOLOGIES))
    placements = table.words("placement", ["together"], among=list(PLACEMENTS))
    return [
        Case(name, test, systems, size, count, topology, placement, seconds)
        for size, count, topology, placement in itertools.product(
            sizes, connections, topologies, placements
        )
    ]


class _Table:
    """A table of a scenario, whose entries are checked as they are taken."""

    def __init__(self, content: Any, where: str, known: set[str]) -> None:
        self._where = where
        if not isinstance(content, dict):
            raise UsageError(f"{where} is no table")
        self._content = content
        if unknown := sorted(content.keys() - known):
            raise self.wrong(unknown[0], f"unknown; known are {', '.join(sorted(known))}")

    def wrong(self, key: str, why: str) -> UsageError:
        """An error about one entry."""
        return UsageError(f"{self._where}: {key}: {why}")

    def _get(self, key: str, default: Any) -> Any:
        found = self._content.get(key, default)
        if found is None:
            raise self.wrong(key, "missing")
        return found

    def has(self, key: str) -> bool:
        return key in self._content

    def text(self, key: str) -> str:
        found = self._get(key, None)
        if not isinstance(found, str):
            raise self.wrong(key, "must be a text")
        return found

    def word(self, key: str, among: list[str]) -> str:
        found = self.text(key)
        if found not in among:
            raise self.wrong(key, f"{found!r} is none of {', '.join(among)}")
        return found

    def words(
        self, key: str, default: list[str] | None, among: list[str] | None = None
    ) -> list[str]:
        found = self._get(key, default)
        found = [found] if isinstance(found, str | int) else found
        if not isinstance(found, list) or not found:
            raise self.wrong(key, "must be a text or a list of texts")
        found = [str(each) for each in found]
        for each in found:
            if among is not None and each not in among:
                raise self.wrong(key, f"{each!r} is none of {', '.join(among)}")
        if len(set(found)) < len(found):
            raise self.wrong(key, "has something twice")
        return found

    def number(self, key: str, default: int, least: int, most: int) -> int:
        return self._number(key, self._get(key, default), least, most)

    def numbers(self, key: str, least: int, most: int) -> list[int]:
        found = self._get(key, [1])
        found = found if isinstance(found, list) else [found]
        return [self._number(key, each, least, most) for each in found]

    def _number(self, key: str, found: Any, least: int, most: int) -> int:
        if not isinstance(found, int) or isinstance(found, bool) or not least <= found <= most:
            raise self.wrong(key, f"must be a whole number from {least} to {most}")
        return found

    def size(self, text: str) -> int:
        try:
            size = parse_size(text)
        except UsageError as error:
            raise self.wrong("size", str(error)) from None
        if not 1 <= size <= 1 << 30:
            raise self.wrong("size", "must be from 1 byte to 1 GiB")
        return size

    def tables(self, key: str) -> list[Any]:
        found = self._get(key, None)
        if not isinstance(found, list) or not found:
            raise self.wrong(key, "must be tables: [[case]]")
        return found

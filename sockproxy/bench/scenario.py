"""Scenarios: TOML files that say which tools run through which systems, where, how often.

    title = "..."            one line
    rounds = 6               turns of every system at every case, besides the warm-up
    seconds = 1              length of one run
    against = ["plain"]      systems that the others are compared with

    [[case]]                 may be repeated
    tool = "netperf"         one of sockproxy.bench.load, or the path of a TOML file from this one
                             on, as load/commands.py has it
    test = "TCP_RR"          one of that tool's; a tool of a file has none
    systems = ["plain", "bypass", "haproxy", "envoy+bypass"]
    size = ["64", "16KiB"]           bytes of a message; the tool's own when left out
    connections = [1]                at a time
    topology = ["loopback"]          or "veth", "sidecars"
    placement = ["together"]         or "apart", "free"
    control = ["reno"]               or "cubic", "bbr": the namespaces' congestion control

The last five may be lists: then there is a case for each combination.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sockproxy.bench.load import Commands, Tool, find_tool
from sockproxy.bench.systems import PLAIN
from sockproxy.bench.workplace import data_folder
from sockproxy.errors import UsageError
from sockproxy.tables import Table, read_table
from sockproxy.units import format_size

__all__ = [
    "PLACEMENTS",
    "TOPOLOGIES",
    "Case",
    "Scenario",
    "find_scenario",
    "scenario_files",
    "scenario_of",
]

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
CONTROLS = ("reno", "cubic", "bbr")
MOST_CONNECTIONS = 1000
MOST_SIZE = 1 << 30  # bytes of a message
RUN_OVERHEAD, CASE_OVERHEAD = 0.3, 3.0  # seconds, as measured on two slow CPUs
ROUNDS = 6
USUAL = ("bypass", "bypass-all", "relay", "splice", "short-circuit-all", "haproxy")
_SYSTEM = re.compile(r"[a-z0-9-]+(\+bypass)?")
_SCENARIO = {"title", "rounds", "seconds", "against", "case"}
_CASE = {"tool", "test", "systems", "size", "connections", "topology", "placement", "control"}


@dataclass(frozen=True, slots=True)
class Case:
    """One load in one place. size: bytes of a message, 0 where that is not known, and so is the
    number of connections. seconds: length of one run."""

    tool: Tool
    test: str
    systems: tuple[str, ...]
    size: int
    connections: int
    topology: str
    placement: str
    seconds: int
    control: str = CONTROLS[0]

    @property
    def key(self) -> str:
        """The name of the case in documents, which no other case of its scenario has."""
        size = format_size(self.size).replace(" ", "") if self.size else ""
        many = str(self.connections) if self.connections else ""
        words = [self.tool.name, self.test, size, many, self.topology, self.placement]
        if self.control != CONTROLS[0]:
            words.append(self.control)
        return "-".join(filter(None, words)).lower()

    @property
    def load(self) -> str:
        """The tool and its test, for people."""
        return f"{self.tool.title} {self.test}".strip()

    @property
    def title(self) -> str:
        """The case in a line for people: what runs, and where."""
        many = f", {self.connections} connections" if self.connections > 1 else ""
        control = f", {self.control} by default" if self.control != CONTROLS[0] else ""
        size = f", {format_size(self.size)}" if self.size else ""
        return (
            f"{self.load}{size}{many};"
            f" {TOPOLOGIES[self.topology]}, {PLACEMENTS[self.placement]}{control}"
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
        """This scenario with other numbers, with some of its cases, or with some of its systems.

        only: words, of which a case's key must have one. systems: keys; those that the others are
        compared with stay as well.

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


def scenario_of(tool: Commands, systems: Sequence[str]) -> Scenario:
    """One case of a tool that was given as commands. systems: keys, besides plain TCP; a handful
    when empty."""
    keys = tuple(dict.fromkeys([PLAIN, *(systems or USUAL)]))
    connections, size = tool.tests[""].connections, tool.tests[""].size
    case = Case(tool, "", keys, size, connections, "loopback", "together", seconds=1)
    return Scenario(tool.name, tool.title, ROUNDS, 1, (PLAIN,), (case,))


def scenario_files() -> dict[str, Path]:
    """The scenarios that come with sockproxy, by name."""
    return {path.stem: path for path in sorted((data_folder() / "scenarios").glob("*.toml"))}


def find_scenario(name: str) -> Scenario:
    """The scenario of that name which comes with sockproxy, or of the file at that path.

    Raises UsageError, which names the file, the line and the key that is wrong.
    """
    path = scenario_files().get(name, Path(name))
    if path.suffix != ".toml":
        raise UsageError(
            f"no scenario {name}",
            hint=f"there are {', '.join(scenario_files())}; or give the path of a .toml",
        )
    return _read(path)


def _read(path: Path) -> Scenario:
    table = read_table(path, _SCENARIO)
    seconds = table.number("seconds", 1, 1, 3600)
    cases = [case for entry in table.tables("case", _CASE) for case in _cases(entry, seconds)]
    keys = [case.key for case in cases]
    if twice := {key for key in keys if keys.count(key) > 1}:
        raise table.wrong("case", f"{min(twice)} is there twice")
    return Scenario(
        name=path.stem,
        title=table.text("title"),
        rounds=table.number("rounds", ROUNDS, 1, 1000),
        seconds=seconds,
        against=tuple(table.words("against", [PLAIN])),
        cases=tuple(cases),
    )


def _cases(table: Table, seconds: int) -> list[Case]:
    """The cases of one table ``[[case]]``: one for each combination of its lists."""
    tool = table.parsed("tool", lambda name: find_tool(name, table.path.parent), table.text("tool"))
    test = table.word("test", list(tool.tests), "" if "" in tool.tests else None)
    systems = tuple(table.words("systems"))
    for system in systems:
        if not _SYSTEM.fullmatch(system):
            raise table.wrong("systems", f"{system!r} is no system")
    sizes = table.if_there("size", lambda key: table.sizes(key, (), 1, MOST_SIZE))
    connections = table.if_there(
        "connections", lambda key: table.numbers(key, (), 1, MOST_CONNECTIONS)
    )
    usual, named = tool.tests[test], f"{tool.name} {test}".strip()
    if not usual.many and connections not in (None, [1]):
        raise table.wrong("connections", f"their number in {named} cannot be chosen")
    if not usual.sized and sizes is not None:
        raise table.wrong("size", f"that of {named} cannot be chosen")
    topologies = table.words("topology", ["loopback"], list(TOPOLOGIES))
    placements = table.words("placement", ["together"], list(PLACEMENTS))
    controls = table.words("control", [CONTROLS[0]], list(CONTROLS))
    return [
        Case(tool, test, systems, size, count, topology, placement, seconds, control)
        for size, count, topology, placement, control in itertools.product(
            sizes or [usual.size],
            connections or [usual.connections],
            topologies,
            placements,
            controls,
        )
    ]

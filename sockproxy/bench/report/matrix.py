"""All cases and all systems in one table: the ratio to a baseline, and what may be said of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from sockproxy.bench.report.facts import Facts, Kind
from sockproxy.bench.report.parts import Cell, Comparison, Row, Table
from sockproxy.bench.report.words import NONE, SPACE, anchor

__all__ = ["matrices"]

SIGNS = {
    "better": "\N{BLACK UP-POINTING TRIANGLE}",
    "worse": "\N{BLACK DOWN-POINTING TRIANGLE}",
    "same": "=",
    "few": "?",
}
LEGEND = (
    f"{SIGNS['better']} better, {SIGNS['worse']} worse, {SIGNS['same']} no difference,"
    f" {SIGNS['few']} too few rounds"
)
OUR_NAME = "sockproxy "


def matrices(facts: Facts) -> Iterator[Table]:
    """One for each system that others are compared with, and were in some case."""
    for other in facts.scenario["against"]:
        cells = {
            (case["key"], system): comparison
            for case in facts.cases
            for system in case["systems"]
            if (comparison := facts.comparison(case, case["headline"], system, other))
        }
        if cells:
            yield _matrix(facts, other, cells)


def _matrix(facts: Facts, other: str, cells: dict[tuple[str, str], Comparison]) -> Table:
    found = dict.fromkeys(system for _, system in cells)
    columns = [system for kind in Kind for system in found if facts.kind(system) is kind]
    many = Counter(facts.kind(system) for system in columns)
    places = Counter(_place(case) for case in facts.cases)
    usual = places.most_common(1)[0][0]
    failed = {(each["case"], each["system"]) for each in facts.document["failures"]}
    rows = [
        Row(
            f"{number + 1}. {_load(case)}",
            tuple(
                _cell(cells.get((case["key"], it)), (case["key"], it) in failed) for it in columns
            ),
            anchor(number),
            note="" if _place(case) == usual else _place(case),
        )
        for number, case in enumerate(facts.cases)
        if any((case["key"], system) in cells for system in columns)
    ]
    caption = f"Ratio to {facts.title(other)}, of each case's headline: {LEGEND}"
    if usual:
        caption += f". Where nothing else is said: {usual}"
    heads = (facts.title(system).removeprefix(OUR_NAME) for system in columns)
    groups = tuple((str(kind), many[kind]) for kind in Kind if many[kind])
    return Table(caption, ("Case", *heads), tuple(rows), groups)


def _cell(comparison: Comparison | None, failed: bool) -> Cell:
    if comparison is None:
        return Cell("failed" if failed else NONE)
    return Cell(f"{comparison.times}{SPACE}{SIGNS[comparison.tone]}", "", comparison.tone)


def _load(case: dict[str, Any]) -> str:
    return str(case["title"]).partition(";")[0]


def _place(case: dict[str, Any]) -> str:
    return str(case["title"]).partition(";")[2].strip()

"""Words and tables for the suites' results, which the terminal and docs/suites.md share."""

from __future__ import annotations

from collections.abc import Iterator

from tests.suites.compare import DIFFERS, NOT_AGAIN, UNSTEADY
from tests.suites.record import Record, total
from tests.suites.table import PLAIN

__all__ = ["HEAD", "as_table", "row", "rows", "unlike"]

HEAD = ["suite", "tests", "passed", "failed", "skipped", DIFFERS, NOT_AGAIN, UNSTEADY,
        "paired", "past TCP", "by TCP", "seconds"]  # fmt: skip


def row(name: str, parts: list[Record], mode: str) -> list[str]:
    """The results of some parts of a suite: plain, and in one mode."""
    sums = total(parts, mode)
    counts = [each[PLAIN]["counts"] for each in parts]
    seconds = [
        each[PLAIN]["seconds"] + each["modes"][mode]["seconds"]
        for each in parts
        if mode in each["modes"]
    ]
    return [
        name,
        str(sums.get("tests", 0)),
        *(str(sum(each.get(what, 0) for each in counts)) for what in HEAD[2:5]),
        *(str(sums.get(what, 0)) for what in HEAD[5:8]),
        *(str(sums.get(what, 0)) for what in ("paired", "bypassed_messages", "passed_messages")),
        str(sum(seconds)),
    ]


def rows(record: Record, mode: str) -> Iterator[list[str]]:
    """A row for each suite, and one for all of them."""
    for suite in record["suites"]:
        yield row(f"{suite['title']} {suite['version']}", suite["parts"], mode)
    yield row("all", [part for suite in record["suites"] for part in suite["parts"]], mode)


def as_table(record: Record) -> Iterator[str]:
    """The lines at the end of a run: a table for each mode, and the tests that differed."""
    for mode in record["modes"]:
        cells = [[mode["name"], *HEAD[1:]], *rows(record, mode["name"])]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for line in cells:
            yield "  ".join(
                cell.ljust(width) for cell, width in zip(line, widths, strict=True)
            ).rstrip()
        yield from (f"{mode['name']}: {line}" for line in unlike(record, mode["name"]))


def unlike(record: Record, mode: str) -> Iterator[str]:
    """A line for each test that differed in the first run: its judgement, and its outcomes in all
    runs, plain and in the mode."""
    for suite in record["suites"]:
        for part in suite["parts"]:
            for test in part["modes"].get(mode, {"unlike": []})["unlike"]:
                yield (
                    f"{test['verdict']}: {suite['name']}/{part['name']}: {test['test']}:"
                    f" plain {_runs(test[PLAIN])}, here {_runs(test['other'])}"
                )


def _runs(outcomes: list[str]) -> str:
    """Outcomes counted: "failed 2 of 6, passed 4 of 6"."""
    return ", ".join(
        f"{each} {outcomes.count(each)} of {len(outcomes)}" for each in sorted(set(outcomes))
    )

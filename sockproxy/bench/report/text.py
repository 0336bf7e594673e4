"""The report as a terminal shows it: the tables of all cases, and what to be warned of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sockproxy.bench.machine import headline
from sockproxy.bench.report.parts import Row, Section, Table
from sockproxy.bench.report.view import build
from sockproxy.bench.result.document import Document

__all__ = ["render"]

NOTES = (
    "Ratios are of runs in the same rounds, with their interval: 'no difference' where it spans 1.",
    "CPU is what client, server, proxy and kernel threads spent. See docs/benchmarking.md.",
)


def render(document: Document) -> str:
    """Lines for people, of a document as run() leaves it."""
    report = build(document)
    method = dict(report.method)
    lines = [
        headline(document["machine"]),
        f"{report.title}; rounds: {method['Rounds']}; {method['Measured']}",
    ]
    for section in report.sections:
        lines += ["", section.title, *_section(section)]
    lines += ["", *NOTES, *(f"warning: {each}" for each in report.warnings)]
    return "\n".join(lines)


def _section(section: Section) -> Iterator[str]:
    if section.table is not None:
        yield from _table(section.table)
    yield from (f"  {note}" for note in section.notes)


def _table(table: Table) -> Iterator[str]:
    # There is room for the spread of the figure and for the intervals of its ratios.
    noted = 1 + sum(head.startswith("Ratio") for head in table.heads)
    heads = ["", *table.heads[1:]]
    rows = [[row.title, *_cells(row, noted)] for row in table.rows]
    whole = [row for row in (heads, *rows) if len(row) == len(heads)]
    widths = [max(len(row[column]) for row in whole) for column in range(len(heads))]
    widths[0] = max(len(row[0]) for row in rows)
    for row in (heads, *rows):
        yield f"  {_padded(row, widths)}"


def _cells(row: Row, noted: int) -> list[str]:
    if row.fate:
        return [row.fate]
    return [
        f"{cell.text} ({cell.note})" if cell.note and number < noted else cell.text
        for number, cell in enumerate(row.cells)
    ]


def _padded(row: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=False))
    return "  ".join(padded).rstrip()

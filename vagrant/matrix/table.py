"""The table at the end of a run."""

from __future__ import annotations

from collections.abc import Sequence

from vagrant.matrix.results import Record
from vagrant.matrix.words import mechanisms, numbers, proof

__all__ = ["as_table"]


def as_table(records: Sequence[Record]) -> list[str]:
    """A row per kernel, below a line of headings, and then why those failed that did."""
    names = mechanisms(records)
    head = ["kernel", "release", *names, "pass/fail/off", "warnings", "outcome", "seconds"]
    rows = [
        [
            record["name"],
            record["release"] or "-",
            *(proof(record, name) for name in names),
            numbers(record),
            str(len(record["warnings"])),
            record["outcome"],
            str(record["seconds"]),
        ]
        for record in records
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [head, *rows]
    ]
    for record in records:
        if record["why"]:
            lines.append(f"{record['name']}: {record['why']}")
        for cell in (record["conformance"] or {"failed": []})["failed"]:
            lines.append(f"{record['name']}: failed: {cell['row']} ({cell['mechanism']})")
        lines += [f"{record['name']}: {line}" for line in record["warnings"] + record["console"]]
    return lines

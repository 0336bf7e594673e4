"""All samples as CSV, for a spreadsheet or another program: a row for each run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from sockproxy.bench.result.document import Document

__all__ = ["render"]

PLACE = ("case", "system", "round", "order", "seconds")
# By part of a sample, what begins the names of its columns.
PARTS = {"values": "", "cpu": "cpu.", "carried": "carried."}


def render(document: Document) -> str:
    """Lines that end in a newline, of which the first names the columns: where the sample was
    taken, its figures by the keys of metrics, CPU seconds by part, and bytes by way.

    Figures are in the units of the document, not in those of tables; a figure that a sample has
    not is empty.
    """
    rows = [_row(sample) for sample in document["samples"]]
    written = io.StringIO()
    writer = csv.DictWriter(written, _columns(document, rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue()


def _row(sample: Mapping[str, Any]) -> dict[str, Any]:
    row = {name: sample[name] for name in PLACE}
    for part, before in PARTS.items():
        row |= {f"{before}{name}": each for name, each in sample[part].items()}
    return row


def _columns(document: Document, rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Those that some row has: where it was taken, then figures in the order of the document's
    metrics, then the rest in the order in which they come."""
    found = dict.fromkeys(name for row in rows for name in row)
    figures = [key for key in document["metrics"] if key in found]
    return list(dict.fromkeys([*PLACE, *figures, *found]))

"""How results are shown: tables for people, versioned JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from sockproxy.text import clean

__all__ = ["age", "show_json", "table", "tell"]

SCHEMA = 1
"""Version of the shapes of all --json documents but those of a benchmark: it grows when a field is
removed or changes its meaning."""


def tell(line: str) -> None:
    """A line on stderr: what takes long, or was passed over."""
    click.echo(f"sockproxy: {clean(line)}", err=True)


def show_json(kind: str, **fields: Any) -> None:
    """One JSON document on stdout: its schema's version, its kind, its fields. A line for each, and
    for each row of a list: to indent all is slow where there are thousands of them."""
    document = {"schema": SCHEMA, "kind": kind, **fields}
    lines = (f"  {json.dumps(name)}: {_laid_out(value)}" for name, value in document.items())
    click.echo("{\n" + ",\n".join(lines) + "\n}")


def _laid_out(value: Any) -> str:
    if not isinstance(value, list) or not value:
        return json.dumps(value)
    return "[\n" + ",\n".join(f"    {json.dumps(row)}" for row in value) + "\n  ]"


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Left-aligned columns, as wide as their widest cell."""
    cells = [[clean(str(cell)) for cell in row] for row in (headings, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())


def age(seconds: float) -> str:
    """A span of time, in its two largest units: ``3h12m``."""
    whole = int(seconds)
    for size, unit, lower, lower_unit in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // lower}{lower_unit}"
    return f"{seconds:.1f}s"

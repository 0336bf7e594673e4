"""What is shown of rows, in as many columns as the terminal has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sockproxy.text import clean
from sockproxy.top.rows import SORTS, Row
from sockproxy.units import format_size

__all__ = ["View", "draw"]

WIDE = 110  # columns
KEYS = "q quit  s sort  w why  f filter  space stop"
COLOURS = {"kernel": "green", "past": "cyan", "bypass": "cyan", "relay": "yellow", "tcp": "yellow"}


@dataclass(slots=True)
class View:
    """What the user has chosen.

    sort: one of SORTS. filter: what a row must have in it. typing: it is being typed.
    why: show why not, in place of bytes so far. stopped: look no more for now.
    """

    sort: str = "rate"
    filter: str = ""
    why: bool = False
    stopped: bool = False
    typing: bool = False

    def shown(self, rows: Sequence[Row]) -> list[Row]:
        """Those that fit the filter, in order."""
        word = self.filter.casefold()
        return sorted((row for row in rows if word in _words(row)), key=SORTS[self.sort])


def draw(
    view: View, rows: Sequence[Row], silent: Sequence[str], width: int, height: int | None = None
) -> RenderableType:
    """A heading, and rows: as many as fit into so many lines, with the keys; without a height all.
    width: in columns. silent: a line for each that does not answer."""
    shown = view.shown(rows)
    parts: list[RenderableType] = [_heading(view, rows, shown)]
    if height is not None:
        parts.append(Text(KEYS, no_wrap=True, overflow="ellipsis"))
    parts += [Text(clean(line), style="red", no_wrap=True) for line in silent]
    room = None if height is None else max(1, height - len(parts) - 2)
    parts.append(_table(view, shown[:room], width))
    return Group(*parts)


def _words(row: Row) -> str:
    return f"{row.name} {row.opener} {row.accepter} {row.now} {row.why}".casefold()


def _heading(view: View, rows: Sequence[Row], shown: Sequence[Row]) -> Text:
    rates: dict[str, float] = {}
    for row in rows:
        rates[row.now] = rates.get(row.now, 0.0) + row.rate
    moving = ", ".join(f"{how} {_rate(rate)}" for how, rate in sorted(rates.items()) if rate)
    count = f"{len(shown)} of {len(rows)}" if len(shown) < len(rows) else str(len(rows))
    # What was chosen first: where there is no room for all, rates are cut off.
    said = f"{count} connection{'' if len(rows) == 1 else 's'} by {view.sort}"
    if view.typing or view.filter:
        said += f"  filter: {clean(view.filter)}{'_' if view.typing else ''}"
    if view.stopped:
        said += "  stopped"
    said += f"  {moving or 'nothing moves'}"
    return Text(said, no_wrap=True, overflow="ellipsis")


def _table(view: View, rows: Sequence[Row], width: int) -> Table:
    """Addresses are whole: where there is no room for all, rates make room for why not, and bytes
    so far for nobody."""
    wide, rates = width >= WIDE, width >= WIDE or not view.why
    name, end = (24, 45) if wide else (9, 21)
    end = min(end, max([21, *(len(each) for row in rows for each in (row.opener, row.accepter))]))
    columns = [("NAME", name), ("FROM", end), ("TO", end)]
    columns += [("OUT/s", 8), ("BACK/s", 8)] if rates else []
    columns += [("BY", 6)]
    left = width - sum(size + 1 for _, size in columns)
    columns += [("WHY NOT" if view.why else "SO FAR", left)] if view.why or wide else []
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for heading, size in columns:
        justify: Literal["left", "right"] = "right" if heading.endswith("/s") else "left"
        table.add_column(heading, no_wrap=True, width=size, justify=justify)
    for row in rows:
        cells = [_plain(text) for text in (row.name, row.opener, row.accepter)]
        if rates:
            cells += [_plain(_rate(rate)) for rate in (row.out_rate, row.back_rate)]
        cells.append(Text(row.now, style=COLOURS.get(row.now, "")))
        if view.why or wide:
            cells.append(_plain(row.why if view.why else format_size(row.out + row.back)))
        table.add_row(*cells)
    return table


def _plain(text: str) -> Text:
    """No markup, and nothing that a terminal would obey."""
    return Text(clean(text), overflow="ellipsis")


def _rate(rate: float) -> str:
    return format_size(int(rate)) if rate else "-"

"""A dashboard's panels as one picture, drawn by matplotlib from Prometheus's answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.tour.dashboard import GRID, Panel, height
from tools.tour.prometheus import Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Series", "draw", "told", "with_gaps"]

WIDTH, ROW, DOTS = 1350, 38, 100  # pixels, and how many are an inch
GAP = 7  # pixels between two panels
PAPER, CARD, INK, QUIET, RULE = "#f4f5f7", "#ffffff", "#24292f", "#57606a", "#d8dee4"
COLOURS = ("#0969da", "#1a7f37", "#bf8700", "#cf222e", "#8250df", "#0a7b83", "#bc4c00", "#57606a")
LEFT, TOP, RIGHT, BOTTOM = 76, 40, 36, 74  # pixels of a panel beside its graph
MOST_NAMED = 6  # entries that the legend of one panel has room for
LONG = 27  # letters of a name, of which there are less in a line of the legend
BREAK = 2.5  # seconds
UNITS = {"short": "", "cps": "/s", "Bps": "B/s", "bytes": "B", "s": "s"}
PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"))


@dataclass(frozen=True)
class Series:
    """A line of a panel, with its name."""

    name: str
    line: Line


def told(value: float, unit: str) -> str:
    """A number with its unit: 12.3 kB/s."""
    name = UNITS.get(unit, unit)
    # Of seconds alone there are thousandths.
    scale = PREFIXES if unit == "s" else PREFIXES[:4]
    factor, prefix = next((each for each in scale if abs(value) >= each[0]), (1.0, ""))
    close = "" if name in ("", "/s") else " "
    return f"{value / factor:.3g}{close}{prefix}{name}"


def draw(
    panels: Sequence[Panel],
    series: Callable[[Panel], list[Series]],
    span: tuple[float, float],
    to: Path,
) -> None:
    """All panels in their grid. span: of all their times."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = height(list(panels))
    with rc_context({"font.family": "DejaVu Sans", "font.size": 9.5, "timezone": "UTC"}):
        figure = Figure(figsize=(WIDTH / DOTS, rows * ROW / DOTS), dpi=DOTS, facecolor=PAPER)
        FigureCanvasAgg(figure)
        for panel in panels:
            _panel(figure, panel, series(panel), span, rows)
        figure.savefig(to)


def _panel(
    figure: Figure, panel: Panel, series: list[Series], span: tuple[float, float], rows: int
) -> None:
    wide, high = WIDTH / GRID, rows * ROW
    left, top = panel.x * wide + GAP / 2, panel.y * ROW + GAP / 2
    width, tall = panel.width * wide - GAP, panel.height * ROW - GAP

    def box(x: float, y: float, w: float, h: float) -> tuple[float, float, float, float]:
        """From pixels of the panel, from its top, to shares of the figure, from its bottom."""
        return ((left + x) / WIDTH, 1 - (top + y + h) / high, w / WIDTH, h / high)

    card = figure.add_axes(box(0, 0, width, tall), facecolor=CARD)
    card.set(xticks=[], yticks=[], xlim=(0, width), ylim=(tall, 0))
    for spine in card.spines.values():
        spine.set_color(RULE)
    card.text(13, 12, panel.title, color=INK, weight="bold", va="top", size=10)
    middle = (width / 2, tall / 2 + 10)
    if not series:
        card.text(*middle, "No data", color=QUIET, ha="center", va="center", size=12)
    elif panel.kind == "stat":
        value = told(series[0].line.points[-1][1], panel.unit)
        card.text(*middle, value, color=COLOURS[1], ha="center", va="center", size=30)
    else:
        axes = figure.add_axes(box(LEFT, TOP, width - LEFT - RIGHT, tall - TOP - BOTTOM))
        axes.set_xlim(*map(_clock, span))  # type: ignore[arg-type]
        _legend(card, tall, _graph(axes, panel, series))


def _graph(axes: Axes, panel: Panel, series: list[Series]) -> list[tuple[str, str]]:
    """Draws all lines, and gives the colours and names of those that the legend has."""
    from matplotlib.dates import AutoDateLocator, DateFormatter
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_facecolor(CARD)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(RULE)
    axes.grid(axis="y", color=RULE, linewidth=0.7)
    axes.tick_params(colors=QUIET, length=0, labelsize=9)
    axes.tick_params(axis="x", pad=7)
    # Who has most comes first in the legend, which has not room for all.
    ranked = sorted(series, key=lambda each: -max(value for _, value in each.line.points))
    named = []
    for number, each in enumerate(ranked):
        colour = COLOURS[number % len(COLOURS)]
        named.append((colour, each.name))
        times, values = zip(*with_gaps(each.line.points), strict=True)
        clock: Any = [_clock(when) for when in times]  # its stubs know no times
        axes.plot(clock, values, color=colour, linewidth=1.6)
    highest = max(value for each in series for _, value in each.line.points)
    axes.set_ylim(0, highest * 1.12 or 1)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=panel.unit == "short"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: told(value, panel.unit)))
    ticks = AutoDateLocator(minticks=3, maxticks=6)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(ticks)
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M:%S"))  # type: ignore[no-untyped-call]
    return named


def _legend(card: Axes, tall: float, named: list[tuple[str, str]]) -> None:
    from matplotlib.lines import Line2D

    shown = named if len(named) <= MOST_NAMED else named[: MOST_NAMED - 1]
    lines = [Line2D([], [], color=colour, linewidth=2) for colour, _ in shown]
    names = [name for _, name in shown]
    if more := len(named) - len(shown):
        lines.append(Line2D([], [], linewidth=0))
        names.append(f"and {more} more")
    card.legend(
        lines,
        names,
        loc="upper left",
        bbox_to_anchor=(8, tall - 44),
        bbox_transform=card.transData,
        ncols=3 if max(map(len, names)) <= LONG else 2,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        handlelength=1.0,
        columnspacing=1.4,
        borderaxespad=0,
    )


def with_gaps(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The same with a break where nothing was told for a while, so that no line goes across."""
    found: list[tuple[float, float]] = []
    for when, value in points:
        if found and when - found[-1][0] > BREAK:
            found.append((when, float("nan")))
        found.append((when, value))
    return found


def _clock(when: float) -> datetime:
    return datetime.fromtimestamp(when, UTC)

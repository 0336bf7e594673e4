"""The chart that answers a question: all cases from the top down, and in each the ratios of some
systems with their intervals. Lengths are points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sockproxy.bench.report.panel import (
    GRID,
    INK,
    MEDIUM,
    SMALL,
    as_svg,
    ends_are,
    fitting,
    logarithmic,
    sheet,
)
from sockproxy.bench.report.parts import Chart, Comparison
from sockproxy.bench.report.plots import BLUE, FARTHEST, VERMILLION, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_chart"]

GREEN = "#007a5a"
# A colour and a shape for each series; what is no difference is hollow.
SERIES = ((BLUE, "o"), (VERMILLION, "s"), (GREEN, "D"))
WIDTH, NAMES, RIGHT = 640.0, 215.0, 14.0
TOP, BOTTOM, BAND, LINE = 12.0, 40.0, 8.0, 8.0
KEY = 15.0  # of a line that says what a colour stands for


def draw_chart(chart: Chart, name: str) -> str:
    """Its SVG. name: makes ids unique within the page."""
    with styled():
        many = len(chart.series)
        row = BAND + LINE * many
        over = TOP + KEY * (many + 1)
        height = over + row * len(chart.rows) + BOTTOM
        figure, axes = sheet((WIDTH, height), (NAMES, over, RIGHT, BOTTOM), len(chart.rows))
        _names(axes, chart)
        _key(axes, chart, row)
        ends = [1.0]
        for number, entry in enumerate(chart.rows):
            for place, found in enumerate(entry.cells):
                if found is not None:
                    at = number + (BAND / 2 + LINE * (place + 0.5)) / row
                    ends += _mark(axes, at, found, *SERIES[place])
        axes.axvline(1, color=INK, linewidth=1.1, zorder=1)
        logarithmic(axes, min(ends), max(ends), "\N{MULTIPLICATION SIGN}", WIDTH - NAMES - RIGHT)
        ends_are(axes, "worse", "better", (BOTTOM - 9) / (row * len(chart.rows)))
        return as_svg(figure, f"{name}-", chart.about)


def _names(axes: Axes, chart: Chart) -> None:
    for number, entry in enumerate(chart.rows):
        if number % 2:
            axes.axhspan(number, number + 1, color=GRID, alpha=0.35, linewidth=0)
        axes.annotate(
            fitting(entry.title, NAMES - 18, SMALL),
            (0, number + 0.5),
            (-8, 0),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=SMALL,
        )


def _key(axes: Axes, chart: Chart, row: float) -> None:
    """What is shown, and what each colour stands for, above the rows."""
    words = fitting(chart.title, WIDTH - NAMES - RIGHT, MEDIUM, bold=True)
    axes.annotate(
        words, (0, 0), (0, TOP / 2 + KEY * (len(chart.series) + 0.5)), va="center",
        fontsize=MEDIUM, fontweight="bold", xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
    )  # fmt: skip
    for place, (title, (colour, marker)) in enumerate(zip(chart.series, SERIES, strict=False)):
        up = TOP / 2 + KEY * (len(chart.series) - place - 0.5)
        look: Any = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points"}
        axes.annotate(
            fitting(title, WIDTH - NAMES - RIGHT - 20, SMALL),
            (0, 0), (14, up), va="center", fontsize=SMALL, color=INK, **look,
        )  # fmt: skip
        axes.plot([0], [-up / row], marker, color=colour, markersize=6, clip_on=False,
                  transform=axes.get_yaxis_transform())  # fmt: skip


def _mark(axes: Axes, at: float, found: Comparison, colour: str, marker: str) -> list[float]:
    """One ratio and its interval; what the scale must reach for it."""
    ratio, low, high = (
        min(max(each, 1 / FARTHEST), FARTHEST) for each in (found.ratio, found.low, found.high)
    )
    axes.plot([low, high], [at, at], color=colour, linewidth=1.8, solid_capstyle="butt")
    told = found.tone in ("better", "worse")
    look: Any = {"markerfacecolor": colour if told else "white", "markeredgewidth": 1.2}
    axes.plot([ratio], [at], marker, color=colour, markersize=5, **look)
    return [ratio, low, high]

"""The plots of one case, as SVG to be put into a page.

Each is as narrow as a phone, so that the page may put them side by side or below each other:
a system's name stands above its row. They are drawn for a light ground. What colours say is
said by shapes and by words as well; the colours are Okabe and Ito's.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sockproxy.bench.report.panel import (
    BAND,
    FAINT,
    INK,
    SMALL,
    as_svg,
    below,
    ends_are,
    label,
    linear,
    logarithmic,
    panel,
    title,
)
from sockproxy.bench.report.parts import Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BLUE", "FARTHEST", "VERMILLION", "draw", "styled"]

JITTER = 0.11  # of a row
GOLDEN = 0.618034  # steps of it spread evenly, however many there are
BLUE, VERMILLION, GREY = "#0072b2", "#d55e00", "#5c5c5c"
# By tone: colour, marker, whether it is filled.
LOOKS: dict[str, tuple[str, str, bool]] = {
    "better": (BLUE, "o", True),
    "worse": (VERMILLION, "s", True),
    "same": (GREY, "o", False),
    "few": (GREY, "x", True),
}
FARTHEST = 1e3  # a ratio beyond is drawn there
SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "sockproxy",
    "font.family": ["DejaVu Sans"],
    "font.size": SMALL,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
    "text.parse_math": False,
}


def draw(plot: Plot, name: str) -> list[str]:
    """Each plot's SVG. name: makes ids unique within the page."""
    kinds = (
        (_figures, plot.about_figures, True),
        (_ratios, plot.about_ratios, bool(plot.baseline)),
        (_latencies, plot.about_latencies, any(mark.latencies for mark in plot.marks)),
    )
    drawn = []
    with styled():
        for number, (paint, about, wanted) in enumerate(kinds):
            if wanted:
                figure, axes = panel(len(plot.marks))
                paint(axes, plot)
                drawn.append(as_svg(figure, f"{name}-{number}-", about))
    return drawn


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """The look of all plots, for the length of a `with`."""
    import matplotlib

    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        # Of a title's signs that the font lacks: the browser has another font.
        warnings.filterwarnings("ignore", message=".*missing from", category=UserWarning)
        yield


# -- a painter for each kind of plot ------------------------------------------------------


def _figures(axes: Axes, plot: Plot) -> None:
    """All samples, and their medians."""
    better = "more" if plot.more_is_better else "less"
    title(axes, f"{plot.unit} \N{RIGHTWARDS ARROW} {better} is better")
    for row, mark in enumerate(plot.marks):
        points = [each for each in mark.points if math.isfinite(each)]
        places = [row + BAND + JITTER * (2 * (n * GOLDEN % 1) - 1) for n in range(len(points))]
        label(axes, row, mark.title, mark.shown, INK)
        axes.scatter(points, places, s=22, color=BLUE, alpha=0.4, linewidths=0)
        axes.plot([mark.median] * 2, [row + BAND - 0.2, row + BAND + 0.2], color=INK, linewidth=2)
        if mark.is_baseline:
            axes.axvline(mark.median, color=FAINT, linewidth=0.8, linestyle=(0, (3, 3)), zorder=0)
    figures = [each for mark in plot.marks for each in (*mark.points, mark.median)]
    linear(axes, max([each for each in figures if math.isfinite(each)], default=0.0))
    legend = "\N{BLACK CIRCLE} one run   | median"
    if any(mark.is_baseline for mark in plot.marks):
        legend += "   \N{BOX DRAWINGS LIGHT QUADRUPLE DASH VERTICAL} baseline"
    below(axes, 0.5, "center", legend)


def _ratios(axes: Axes, plot: Plot) -> None:
    """Each system's ratio to the baseline, its interval and its judgement."""
    title(axes, f"Ratio to {plot.baseline}, {plot.confidence} interval")
    ends = [1.0]
    for row, mark in enumerate(plot.marks):
        found = mark.comparison
        if found is None:
            label(axes, row, mark.title, "baseline" if mark.is_baseline else "not compared", FAINT)
            continue
        colour, marker, filled = LOOKS[found.tone]
        ratio, low, high = (
            min(max(each, 1 / FARTHEST), FARTHEST) for each in (found.ratio, found.low, found.high)
        )
        label(axes, row, mark.title, found.words, colour)
        place = row + BAND
        axes.plot([low, high], [place] * 2, color=colour, linewidth=2.2, solid_capstyle="butt")
        for end in (low, high):
            axes.plot([end] * 2, [place - 0.1, place + 0.1], color=colour, linewidth=1.4)
        look: Any = {"color": colour, "markersize": 6, "markeredgewidth": 1.5}
        look["markerfacecolor"] = colour if filled else "white"
        axes.plot([ratio], [place], marker, **look)
        ends += [ratio, low, high]
    axes.axvline(1, color=INK, linewidth=1.1, zorder=1)
    logarithmic(axes, min(ends), max(ends), "\N{MULTIPLICATION SIGN}")
    if plot.more_is_better:
        ends_are(axes, "worse", "better")
    else:
        ends_are(axes, "better", "worse")


def _latencies(axes: Axes, plot: Plot) -> None:
    """Medians and 99th percentiles."""
    title(axes, "Latency, \N{MICRO SIGN}s \N{RIGHTWARDS ARROW} less is better")
    ends = []
    for row, mark in enumerate(plot.marks):
        if not mark.latencies:
            label(axes, row, mark.title, "not told", FAINT)
            continue
        middle, tail = mark.latencies
        label(axes, row, mark.title, mark.latencies_shown, INK)
        place = [row + BAND]
        axes.plot([middle, tail], place * 2, color=GREY, linewidth=1.6)
        axes.plot([middle], place, "o", color=BLUE, markersize=7)
        axes.plot([tail], place, "D", color=INK, markersize=6, markerfacecolor="white")
        ends += [middle, tail]
    logarithmic(axes, min(ends), max(ends), "")
    below(axes, 0.5, "center", "\N{BLACK CIRCLE} median / \N{WHITE DIAMOND} p99")

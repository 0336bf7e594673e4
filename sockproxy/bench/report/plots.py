"""The plots of one case, as SVG to be put into a page.

Each is as narrow as a phone, so that the page may put them side by side or below each other:
a system's name stands above its row. They are drawn for a light ground. What colours say is
said by shapes and by words as well; the colours are Okabe and Ito's.
"""

from __future__ import annotations

import functools
import io
import math
import warnings
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree

from sockproxy.bench.report.parts import Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

# All lengths are points, which the page shows as CSS pixels where there is room.
POINTS = 72.0
WIDTH, MARGIN = 340.0, 10.0
TOP, ROW, BOTTOM = 30.0, 38.0, 44.0
LABEL, BAND = 0.30, 0.70  # in a row, from its top: the name's middle, and the dots'
SMALL, MEDIUM = 10.5, 11.5
JITTER = 0.11  # of a row
GOLDEN = 0.618034  # steps of it spread evenly, however many there are
INK, FAINT, GRID = "#222222", "#5c5c5c", "#dddddd"
BLUE, VERMILLION, GREY = "#0072b2", "#d55e00", "#5c5c5c"
# By tone: colour, marker, whether it is filled.
LOOKS: dict[str, tuple[str, str, bool]] = {
    "better": (BLUE, "o", True),
    "worse": (VERMILLION, "s", True),
    "same": (GREY, "o", False),
    "few": (GREY, "x", True),
}
FARTHEST = 1e3  # a ratio beyond is drawn there
STEPS = (1, 1.5, 2, 3, 5, 7)
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
SETTINGS: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "sockproxy", "font.family": ["DejaVu Sans"],
    "font.size": SMALL, "axes.edgecolor": FAINT, "axes.linewidth": 0.8, "text.color": INK,
    "xtick.color": FAINT, "xtick.labelcolor": INK, "text.parse_math": False,
}  # fmt: skip


def draw(plot: Plot, name: str) -> list[tuple[str, str]]:
    """Each plot's SVG, with what it shows in words. name: makes ids unique within the page."""
    import matplotlib

    kinds = (
        (_figures, plot.about_figures, True),
        (_ratios, plot.about_ratios, bool(plot.baseline)),
        (_latencies, plot.about_latencies, any(mark.latencies for mark in plot.marks)),
    )
    drawn = []
    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        # Of a title's signs that the font lacks: the browser has another font.
        warnings.filterwarnings("ignore", message=".*missing from", category=UserWarning)
        for number, (paint, about, wanted) in enumerate(kinds):
            if wanted:
                figure, axes = _panel(len(plot.marks))
                paint(axes, plot)
                drawn.append((_svg(figure, f"{name}-{number}-", about), about))
    return drawn


# -- the three of them --------------------------------------------------------------------


def _figures(axes: Axes, plot: Plot) -> None:
    """All samples, and their medians."""
    _title(axes, f"{plot.unit} \N{RIGHTWARDS ARROW} more is better")
    for row, mark in enumerate(plot.marks):
        points = [each for each in mark.points if math.isfinite(each)]
        places = [row + BAND + JITTER * (2 * (n * GOLDEN % 1) - 1) for n in range(len(points))]
        _label(axes, row, mark.title, mark.shown, INK)
        axes.scatter(points, places, s=22, color=BLUE, alpha=0.4, linewidths=0)
        axes.plot([mark.median] * 2, [row + BAND - 0.2, row + BAND + 0.2], color=INK, linewidth=2)
        if mark.is_baseline:
            axes.axvline(mark.median, color=FAINT, linewidth=0.8, linestyle=(0, (3, 3)), zorder=0)
    figures = [each for mark in plot.marks for each in (*mark.points, mark.median)]
    most = max([each for each in figures if math.isfinite(each)], default=0.0)
    axes.set_xlim(0, most * 1.04 if most > 0 else 1)
    axes.locator_params(axis="x", nbins=6)
    legend = "\N{BLACK CIRCLE} one run   | median"
    if any(mark.is_baseline for mark in plot.marks):
        legend += "   \N{BOX DRAWINGS LIGHT QUADRUPLE DASH VERTICAL} baseline"
    _below(axes, 0.5, "center", legend)


def _ratios(axes: Axes, plot: Plot) -> None:
    """Each system's ratio to the baseline, its interval and its verdict."""
    _title(axes, f"Ratio to {plot.baseline}, {plot.confidence} interval")
    ends = [1.0]
    for row, mark in enumerate(plot.marks):
        found = mark.comparison
        if found is None:
            _label(axes, row, mark.title, "baseline" if mark.is_baseline else "not compared", FAINT)
            continue
        colour, marker, filled = LOOKS[found.tone]
        ratio, low, high = (
            min(max(each, 1 / FARTHEST), FARTHEST) for each in (found.ratio, found.low, found.high)
        )
        _label(axes, row, mark.title, found.words, colour)
        place = row + BAND
        axes.plot([low, high], [place] * 2, color=colour, linewidth=2.2, solid_capstyle="butt")
        for end in (low, high):
            axes.plot([end] * 2, [place - 0.1, place + 0.1], color=colour, linewidth=1.4)
        axes.plot(
            [ratio], [place], marker, color=colour, markersize=6, markeredgewidth=1.5,
            markerfacecolor=colour if filled else "white",
        )  # fmt: skip
        ends += [ratio, low, high]
    axes.axvline(1, color=INK, linewidth=1.1, zorder=1)
    _logarithmic(axes, min(ends), max(ends), "\N{MULTIPLICATION SIGN}")
    _below(axes, 0, "left", "\N{LEFTWARDS ARROW} worse")
    _below(axes, 1, "right", "better \N{RIGHTWARDS ARROW}")


def _latencies(axes: Axes, plot: Plot) -> None:
    """Medians and 99th percentiles."""
    _title(axes, "Latency, \N{MICRO SIGN}s \N{RIGHTWARDS ARROW} less is better")
    ends = []
    for row, mark in enumerate(plot.marks):
        if not mark.latencies:
            _label(axes, row, mark.title, "not told", FAINT)
            continue
        middle, tail = mark.latencies
        _label(axes, row, mark.title, mark.latencies_shown, INK)
        place = [row + BAND]
        axes.plot([middle, tail], place * 2, color=GREY, linewidth=1.6)
        axes.plot([middle], place, "o", color=BLUE, markersize=7)
        axes.plot([tail], place, "D", color=INK, markersize=6, markerfacecolor="white")
        ends += [middle, tail]
    _logarithmic(axes, min(ends), max(ends), "")
    _below(axes, 0.5, "center", "\N{BLACK CIRCLE} median / \N{WHITE DIAMOND} p99")


# -- what they have in common -------------------------------------------------------------


def _panel(rows: int) -> tuple[Figure, Axes]:
    """A figure with one row for each system, from the top down."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    height = TOP + ROW * rows + BOTTOM
    figure = Figure(figsize=(WIDTH / POINTS, height / POINTS), facecolor="none")
    FigureCanvasSVG(figure)
    axes = figure.add_axes(
        (MARGIN / WIDTH, BOTTOM / height, 1 - 2 * MARGIN / WIDTH, ROW * rows / height),
        facecolor="none",
    )
    axes.set_ylim(rows, 0)
    axes.set_yticks([])
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    for row in range(1, rows):
        axes.axhline(row, color=GRID, linewidth=0.8)
    return figure, axes


def _title(axes: Axes, text: str) -> None:
    text = _fitting(text, WIDTH - 2 * MARGIN, MEDIUM, bold=True)
    axes.set_title(text, loc="left", fontsize=MEDIUM, fontweight="bold", pad=8)


def _below(axes: Axes, x: float, side: Literal["left", "center", "right"], words: str) -> None:
    """Words under the axis."""
    rows = axes.get_ylim()[0]
    axes.text(x, -(BOTTOM - 9) / (ROW * rows), words, transform=axes.transAxes, ha=side,
              va="center", color=FAINT, fontsize=SMALL)  # fmt: skip


def _label(axes: Axes, row: int, title: str, words: str, colour: str) -> None:
    """A system's name above its dots, and what was found at the right end."""
    room = WIDTH - 2 * MARGIN - _width(words, SMALL, bold=True) - 10
    # On white, lest a line of the grid goes through it.
    ground = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    where = axes.get_yaxis_transform()
    axes.text(0, row + LABEL, _fitting(title, room, SMALL), transform=where, va="center",
              fontsize=SMALL, bbox=ground)  # fmt: skip
    axes.text(1, row + LABEL, words, transform=where, va="center", ha="right", color=colour,
              fontsize=SMALL, fontweight="bold", bbox=ground)  # fmt: skip


def _fitting(text: str, room: float, size: float, bold: bool = False) -> str:
    """The text on one line, cut where it is wider than there is room."""
    text = "".join(sign if sign.isprintable() else " " for sign in text)[:200]
    if _width(text, size, bold) <= room:
        return text
    while text and _width(text + ELLIPSIS, size, bold) > room:
        text = text[:-1]
    return text.rstrip() + ELLIPSIS


@functools.lru_cache(maxsize=4096)
def _width(text: str, size: float, bold: bool = False) -> float:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font = FontProperties(family=["DejaVu Sans"], size=size, weight="bold" if bold else "normal")
    return float(TextToPath().get_text_width_height_descent(text, font, ismath=False)[0])


def _logarithmic(axes: Axes, low: float, high: float, unit: str) -> None:
    """A scale on which twice as much is as far as half as much, with round ticks."""
    from matplotlib.ticker import FixedLocator, NullLocator

    room = max(math.log(high / low), math.log(1.2))
    low, high = low * math.exp(-0.08 * room), high * math.exp(0.08 * room)
    if high / low < 1.2:
        low, high = low / 1.1, high * 1.1
    ticks = _ticks(low, high)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(ticks, [f"{_brief(tick)}{unit}" for tick in ticks])


def _ticks(low: float, high: float) -> list[float]:
    """At most six round figures from low to high, of a logarithmic scale."""
    if high / low < 2.5:
        step = 10.0 ** math.floor(math.log10(high - low))
        for part in (0.1, 0.2, 0.5, 1, 2):
            first, last = math.ceil(low / step / part), math.floor(high / step / part)
            if last - first < 6:
                return [round(n * step * part, 12) for n in range(first, last + 1)]
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in (STEPS, (1, 2, 5), (1, 3), (1,)):
        found = [step * 10.0**power for power in powers for step in steps]
        found = [round(tick, 12) for tick in found if low <= tick <= high]
        if len(found) <= 6:
            return found
    return found[:: math.ceil(len(found) / 6)]


def _brief(figure: float) -> str:
    """Three digits, and no exponent."""
    if figure >= 100:
        return f"{figure:,.0f}"
    return f"{float(f'{figure:.3g}'):g}"


def _svg(figure: Figure, prefix: str, about: str) -> str:
    """The figure as an element for HTML: it scales, names no address, and shares no id."""
    written = io.StringIO()
    nothing: dict[str, Any] = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(written, format="svg", metadata=nothing, transparent=True)
    root = ElementTree.fromstring(written.getvalue())
    # Its own style would be that of the whole page.
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith("}style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for key, value in list(element.attrib.items()):
            del element.attrib[key]
            element.set(key.rpartition("}")[2], _own(key, value, prefix))
    del root.attrib["width"], root.attrib["height"]
    root.set("role", "img")
    root.set("aria-label", _plain(about))
    root.set("style", "stroke-linejoin: round; stroke-linecap: butt")
    return ElementTree.tostring(root, encoding="unicode")


def _own(key: str, value: str, prefix: str) -> str:
    """An attribute whose ids begin with the prefix."""
    if key == "id":
        return prefix + value
    if key.endswith("href"):
        return value.replace("#", f"#{prefix}", 1)
    return value.replace("url(#", f"url(#{prefix}")


def _plain(text: str) -> str:
    """Without what XML cannot hold."""
    return "".join(sign if sign.isprintable() else " " for sign in text)

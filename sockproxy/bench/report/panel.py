"""What the plots of a report have in common: a panel with a row for each system, its words and
scales, and the SVG of it. Lengths are points."""

from __future__ import annotations

import functools
import io
import math
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BAND",
    "BOTTOM",
    "FAINT",
    "GRID",
    "INK",
    "MARGIN",
    "MEDIUM",
    "ROW",
    "SMALL",
    "TOP",
    "WIDTH",
    "as_svg",
    "below",
    "ends_are",
    "fitting",
    "label",
    "linear",
    "logarithmic",
    "panel",
    "sheet",
    "title",
]

# All lengths are points, which the page shows as CSS pixels where there is room.
POINTS = 72.0
WIDTH, MARGIN = 340.0, 10.0
TOP, ROW, BOTTOM = 30.0, 38.0, 44.0
LABEL, BAND = 0.30, 0.70  # in a row, from its top: the name's middle, and the dots'
SMALL, MEDIUM = 10.5, 11.5
INK, FAINT, GRID = "#222222", "#5c5c5c", "#dddddd"
STEPS = (1, 1.5, 2, 3, 5, 7)
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


def panel(rows: int) -> tuple[Figure, Axes]:
    """A figure with so many rows, one for each system, from the top down."""
    size = (WIDTH, TOP + ROW * rows + BOTTOM)
    figure, axes = sheet(size, (MARGIN, TOP, MARGIN, BOTTOM), rows)
    for row in range(1, rows):
        axes.axhline(row, color=GRID, linewidth=0.8)
    return figure, axes


def sheet(
    size: tuple[float, float], margins: tuple[float, float, float, float], rows: int
) -> tuple[Figure, Axes]:
    """A figure whose y axis counts rows from the top down. size: width and height. margins: what
    is left of the axes, above, right and below."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    width, height = size
    left, top, right, bottom = margins
    figure = Figure(figsize=(width / POINTS, height / POINTS), facecolor="none")
    FigureCanvasSVG(figure)
    axes = figure.add_axes(
        (left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height),
        facecolor="none",
    )
    axes.set_ylim(rows, 0)
    axes.set_yticks([])
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    return figure, axes


def title(axes: Axes, text: str) -> None:
    """Put a title over the panel, cut where it is too wide."""
    text = fitting(text, WIDTH - 2 * MARGIN, MEDIUM, bold=True)
    axes.set_title(text, loc="left", fontsize=MEDIUM, fontweight="bold", pad=8)


def below(
    axes: Axes,
    x: float,
    side: Literal["left", "center", "right"],
    words: str,
    depth: float | None = None,
) -> None:
    """Put words under the axis, at x from 0 to 1 of its length. depth: as a share of the axes'
    height; as panel() has room, when left out."""
    depth = (BOTTOM - 9) / (ROW * axes.get_ylim()[0]) if depth is None else depth
    look: Any = {"transform": axes.transAxes, "va": "center", "color": FAINT, "fontsize": SMALL}
    axes.text(x, -depth, words, ha=side, **look)


def ends_are(axes: Axes, left: str, right: str, depth: float | None = None) -> None:
    """Say under the axis what its ends mean. depth: as below() has it."""
    below(axes, 0, "left", f"\N{LEFTWARDS ARROW} {left}", depth)
    below(axes, 1, "right", f"{right} \N{RIGHTWARDS ARROW}", depth)


def label(axes: Axes, row: int, name: str, words: str, colour: str) -> None:
    """Put a system's name above its row's dots, and the words of its result at the right end."""
    room = WIDTH - 2 * MARGIN - _width(words, SMALL, bold=True) - 10
    # On white, lest a line of the grid goes through it.
    ground = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    look: Any = {
        "transform": axes.get_yaxis_transform(),
        "va": "center",
        "fontsize": SMALL,
        "bbox": ground,
    }
    axes.text(0, row + LABEL, fitting(name, room, SMALL), **look)
    axes.text(1, row + LABEL, words, ha="right", color=colour, fontweight="bold", **look)


def fitting(text: str, room: float, size: float, bold: bool = False) -> str:
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


def logarithmic(
    axes: Axes, low: float, high: float, unit: str, width: float = WIDTH - 2 * MARGIN
) -> None:
    """Make the x axis logarithmic, from a little below `low` to a little above `high`, with round
    ticks, each followed by `unit`. width: the axis's, by which labels are kept inside of it."""
    from matplotlib.ticker import FixedLocator, NullLocator

    room = max(math.log(high / low), math.log(1.2))
    low, high = low * math.exp(-0.08 * room), high * math.exp(0.08 * room)
    if high / low < 1.2:
        low, high = low / 1.1, high * 1.1
    ticks = [
        tick
        for tick in _ticks(low, high)
        if _stays_inside(
            f"{_brief(tick)}{unit}", math.log(tick / low) / math.log(high / low), width
        )
    ]
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(ticks, [f"{_brief(tick)}{unit}" for tick in ticks])


def linear(axes: Axes, most: float, whole: bool = False) -> None:
    """Make the x axis linear, from 0 to a little above `most`, with round ticks; whole: of whole
    numbers alone."""
    from matplotlib.ticker import MaxNLocator

    end = most * 1.04 if most > 0 else 1.0
    width = WIDTH - 2 * MARGIN
    ticks = [
        float(tick)
        for tick in MaxNLocator(nbins=6, integer=whole).tick_values(0, end)
        if _stays_inside(_brief(tick), tick / end, width)
    ]
    axes.set_xlim(0, end)
    axes.set_xticks(ticks, [_brief(tick) for tick in ticks])


def _stays_inside(words: str, share: float, width: float) -> bool:
    """Whether a label in the middle of that share of the axis, 0 to 1, is cut at neither end: the
    figure has MARGIN beside the axis, and browsers may have a wider font."""
    half = _width(words, SMALL) / 2
    return half - MARGIN / 2 <= share * width <= width + MARGIN / 2 - half


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
    for size, letter in ((1e9, "G"), (1e6, "M")):
        if figure >= size:
            return f"{figure / size:,.4g} {letter}"
    if figure >= 100:
        return f"{figure:,.0f}"
    return f"{float(f'{figure:.3g}'):g}"


def as_svg(figure: Figure, prefix: str, about: str) -> str:
    """The figure as an <svg> element for HTML, which scales with the page and fetches nothing.

    prefix: what its ids begin with, so that no other element of the page has the same.
    about: what it shows, in words.
    """
    written = io.StringIO()
    nothing: dict[str, Any] = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(written, format="svg", metadata=nothing, transparent=True)
    root = ElementTree.fromstring(written.getvalue())
    # A <style> inside of an SVG applies to the whole page.
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
    """An attribute's value, in which every id that it gives or names begins with the prefix."""
    if key == "id":
        return prefix + value
    if key.endswith("href"):
        return value.replace("#", f"#{prefix}", 1)
    return value.replace("url(#", f"url(#{prefix}")


def _plain(text: str) -> str:
    """The text with blanks for the characters that XML cannot hold."""
    return "".join(sign if sign.isprintable() else " " for sign in text)

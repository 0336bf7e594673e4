"""How long runs went, second by second: a row for each system, all of one scale."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from sockproxy.bench.report.facts import Facts
from sockproxy.bench.report.panel import (
    BOTTOM,
    GRID,
    INK,
    MARGIN,
    ROW,
    TOP,
    WIDTH,
    as_svg,
    below,
    label,
    linear,
    sheet,
    title,
)
from sockproxy.bench.report.parts import Course, Timeline
from sockproxy.bench.report.plots import BLUE, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_timeline", "timeline"]

LEAST_SECONDS = 5  # of a run, to be drawn
LINES = 2  # of the panel's rows, that a system has
FLOOR, HIGHEST = 1.9, 1.35  # in such rows: where zero is, and how far above that the largest figure


def timeline(facts: Facts, case: dict[str, Any]) -> Timeline | None:
    """What is to be drawn of a case; None where no system has runs that are long enough and tell
    what each second had."""
    metric = facts.metrics[case["headline"]]
    courses = []
    for system in case["systems"]:
        samples = facts.samples.get((case["key"], system), [])
        runs = [each["each_second"] for each in samples if each.get("each_second")]
        seconds = min(map(len, runs), default=0)
        if seconds >= LEAST_SECONDS:
            columns = [[run[at] / metric.scale for run in runs] for at in range(seconds)]
            courses.append(Course(facts.title(system), tuple(map(tuple, columns))))
    if not courses:
        return None
    told = "; ".join(
        f"{it.title}: from {min(map(median, it.seconds)):,.{metric.digits}f} to"
        f" {max(map(median, it.seconds)):,.{metric.digits}f}"
        for it in courses
    )
    about = f"{metric.title} in each second, the median of all rounds. {told}."
    return Timeline(metric.title, tuple(courses), about)


def draw_timeline(it: Timeline, name: str) -> str:
    """Its SVG. name: makes ids unique within the page."""
    with styled():
        rows = LINES * len(it.courses)
        size = (WIDTH, TOP + ROW * rows + BOTTOM)
        figure, axes = sheet(size, (MARGIN, TOP, MARGIN, BOTTOM), rows)
        title(axes, f"{it.unit}, second by second")
        most = max(max(map(max, course.seconds)) for course in it.courses)
        for number, course in enumerate(it.courses):
            _course(axes, number * LINES, course, most)
        linear(axes, max(len(course.seconds) for course in it.courses), whole=True)
        below(axes, 0.5, "center", "seconds; line: median, band: least to most of the rounds")
        return as_svg(figure, f"{name}-seconds-", it.about)


def _course(axes: Axes, row: int, course: Course, most: float) -> None:
    """One system. row: of the panel, where it begins. most: the largest figure of all systems."""

    def place(figure: float) -> float:
        return row + FLOOR - HIGHEST * (figure / most if most > 0 else 0)

    ends = range(1, len(course.seconds) + 1)
    middles = [median(each) for each in course.seconds]
    words = f"{min(middles):,.3g} \N{EN DASH} {max(middles):,.3g}"
    label(axes, row, course.title, words, INK)
    axes.axhline(row + FLOOR, color=GRID, linewidth=0.8)
    lows, highs = ([place(pick(each)) for each in course.seconds] for pick in (min, max))
    axes.fill_between(ends, lows, highs, color=BLUE, alpha=0.2, linewidth=0)
    axes.plot(ends, [place(each) for each in middles], color=BLUE, linewidth=1.6)

"""What a report consists of, ready to be shown: texts, and the figures of plots."""

from __future__ import annotations

from dataclasses import dataclass

from sockproxy.bench.report.words import TIMES, number, span

__all__ = [
    "Cell",
    "Comparison",
    "Mark",
    "Overview",
    "Plot",
    "Program",
    "Report",
    "Row",
    "Section",
    "Table",
]

TONES = {"better": "better", "worse": "worse", "no difference": "same", "too few rounds": "few"}
"""A word for each judgement, by which pages choose colours."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A ratio to another system, with its interval and its judgement."""

    ratio: float
    low: float
    high: float
    judgement: str

    @property
    def tone(self) -> str:
        """The judgement as one word: better, worse, same, few."""
        return TONES.get(self.judgement, "few")

    @property
    def times(self) -> str:
        """The ratio alone."""
        return f"{number(self.ratio)}{TIMES}"

    @property
    def words(self) -> str:
        """The ratio and what may be said of it."""
        comma = "" if self.judgement in ("better", "worse") else ","
        return f"{self.times}{comma} {self.judgement}"

    @property
    def interval(self) -> str:
        """The confidence interval, from low to high."""
        return span(number(self.low), number(self.high))


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table. note: a second, smaller line. tone: one of TONES' values, or ""."""

    text: str
    note: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table. anchor: the id that its title links to. fate: words in place of all
    cells."""

    title: str
    cells: tuple[Cell, ...] = ()
    anchor: str = ""
    fate: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """The first of `heads` is that of the rows' titles."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """One system's row of a plot. shown: its median. latencies: median and p99, or nothing."""

    title: str
    points: tuple[float, ...]
    median: float
    shown: str
    comparison: Comparison | None
    is_baseline: bool
    latencies: tuple[float, ...]
    latencies_shown: str


@dataclass(frozen=True, slots=True)
class Plot:
    """What the plots of one case show. baseline: "" where nothing can be compared.

    about_*: what each plot shows, for those who do not see it.
    """

    unit: str
    confidence: str
    baseline: str
    marks: tuple[Mark, ...]
    about_figures: str
    about_ratios: str
    about_latencies: str


@dataclass(frozen=True, slots=True)
class Section:
    """One case. facts: of the load and where it ran. notes: what failed or was skipped."""

    anchor: str
    title: str
    facts: tuple[tuple[str, str], ...]
    plot: Plot | None
    table: Table | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """All cases against one baseline. lead: counts. items: a system and its sentences."""

    baseline: str
    lead: str
    items: tuple[tuple[str, str], ...]
    table: Table | None


@dataclass(frozen=True, slots=True)
class Program:
    """A system, as it was started."""

    title: str
    about: str
    command: str
    version: str
    why_not: str
    config: str


@dataclass(frozen=True, slots=True)
class Report:
    """All of a page, from the top down."""

    title: str
    subtitle: str
    warnings: tuple[str, ...]
    overviews: tuple[Overview, ...]
    machine: tuple[tuple[str, str], ...]
    method: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    programs: tuple[Program, ...]
    reading: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str], ...]
    reproduce: str
    footer: str

"""What a report consists of, ready to be shown: texts, and the figures of plots."""

from __future__ import annotations

from dataclasses import dataclass

from sockproxy.bench.report.words import TIMES, number, span

__all__ = [
    "Cell",
    "Changes",
    "Chart",
    "ChartRow",
    "Comparison",
    "Course",
    "Mark",
    "Plot",
    "Program",
    "Question",
    "Report",
    "Row",
    "Section",
    "Table",
    "Timeline",
]

MOST_PRINTED = 260  # rows of tables, which are about five pages
HEAD_ROWS = 4  # what a table's title and heads take
LEAST_SHOWN = 1e-9  # of a ratio that is turned round
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

    def turned(self) -> Comparison:
        """The ratio the other way round, above 1 where this is below."""
        ratio, low, high = (1 / max(LEAST_SHOWN, it) for it in (self.ratio, self.high, self.low))
        return Comparison(ratio, low, high, self.judgement)

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
    """A row of a table. anchor: the id that its title links to. note: a smaller line below that.
    fate: words in place of all cells."""

    title: str
    cells: tuple[Cell, ...] = ()
    anchor: str = ""
    fate: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """The first of `heads` is that of the rows' titles. groups: names over the other columns, each
    with how many of them it is over."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    groups: tuple[tuple[str, int], ...] = ()


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

    more_is_better: of the figures, and so of their ratios.
    about_*: what each plot shows, for those who do not see it.
    """

    unit: str
    confidence: str
    baseline: str
    marks: tuple[Mark, ...]
    more_is_better: bool
    about_figures: str
    about_ratios: str
    about_latencies: str


@dataclass(frozen=True, slots=True)
class Course:
    """How the runs of a system went. seconds: for each, the figures of all rounds."""

    title: str
    seconds: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """The courses of a case's systems. about: what it shows, in words."""

    unit: str
    courses: tuple[Course, ...]
    about: str


@dataclass(frozen=True, slots=True)
class Section:
    """One case. facts: of the load and where it ran. timeline: of runs that are long enough.
    notes: what failed or was skipped."""

    anchor: str
    title: str
    facts: tuple[tuple[str, str], ...]
    plot: Plot | None
    timeline: Timeline | None
    table: Table | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChartRow:
    """One case of a chart. cells: a ratio for each of the chart's series, turned so that above 1
    is better; None where there is none."""

    title: str
    cells: tuple[Comparison | None, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Ratios of some systems, its series, in all cases. about: what it shows, in words."""

    title: str
    series: tuple[str, ...]
    rows: tuple[ChartRow, ...]
    about: str


@dataclass(frozen=True, slots=True)
class Question:
    """What a reader wants to know first. answer: three sentences at most."""

    anchor: str
    title: str
    answer: tuple[str, ...]
    chart: Chart | None


@dataclass(frozen=True, slots=True)
class Changes:
    """All of the page of two results. answer: three sentences at most. changed: what is better or
    worse; unchanged: the rest. results: where the two come from."""

    title: str
    subtitle: str
    warnings: tuple[str, ...]
    answer: tuple[str, ...]
    charts: tuple[Chart, ...]
    changed: Table
    unchanged: Table
    results: Table
    reading: tuple[tuple[str, str], ...]
    footer: str


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
    questions: tuple[Question, ...]
    matrices: tuple[Table, ...]
    machine: tuple[tuple[str, str], ...]
    method: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    programs: tuple[Program, ...]
    reading: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str], ...]
    reproduce: str
    footer: str

    @property
    def is_long(self) -> bool:
        """Whether the tables of all cases are more than some pages."""
        tables = [section.table for section in self.sections if section.table]
        return sum(len(table.rows) + HEAD_ROWS for table in tables) > MOST_PRINTED

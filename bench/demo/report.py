"""What the samples say: medians and their spread, as a table and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.demo.campaign import Sample
from bench.demo.load import MEASURES
from bench.demo.systems import HAPROXY, RELAY, SPLICED, TITLES, System

__all__ = ["SCHEMA", "Cell", "document", "render", "unstable"]

SCHEMA = 1
"""Version of the JSON's shape: it grows when a field is removed or changes its meaning."""

SPREAD = 0.25  # (max - min) / median beyond which a figure is told as unstable


VERSUS = {RELAY: "relay", HAPROXY: TITLES[HAPROXY]}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a value of one measure."""

    measure: str
    value: str
    title: str
    digits: int
    more_is_better: bool
    unit: float = 1  # of the value, in the table


@dataclass(frozen=True, slots=True)
class Cell:
    """The median of some samples, and the range they lie in."""

    median: float
    least: float
    most: float

    def spread(self) -> float:
        """The range as a share of the median."""
        return (self.most - self.least) / self.median if self.median else 0.0


STREAM_ROWS = (
    ("gbit_per_s", "Gbit/s", 2, True),
    ("cpu", "CPU s / GB", 2, False),
)
TRANSACTION_ROWS = (
    ("per_s", "1000 transactions/s", 2, True, 1e3),
    ("mean_us", "mean latency, us", 1, False),
    ("p99_us", "p99 latency, us", 0, False),
    ("cpu", "CPU s / 100k trans.", 2, False),
)
ROWS = tuple(
    Row(measure.key, *row)
    for measure in MEASURES
    for row in (STREAM_ROWS if measure.test == "stream" else TRANSACTION_ROWS)
)


def cell(samples: Sequence[Sample], measure: str, system: str, value: str) -> Cell:
    """One figure of one system over all rounds."""
    found = [
        sample.values[value]
        for sample in samples
        if (sample.measure, sample.system) == (measure, system)
    ]
    return Cell(statistics.median(found), min(found), max(found))


def in_kernel(samples: Sequence[Sample], measure: str, system: str) -> float:
    """The median share of bytes that stayed in the kernel: 0 to 1."""
    shares = [
        sample.moved.share
        for sample in samples
        if (sample.measure, sample.system) == (measure, system) and sample.moved is not None
    ]
    return statistics.median(shares)


def advantage(row: Row, ours: Cell, theirs: Cell) -> float | None:
    """How many times better we are; below 1 we lose."""
    better, worse = (ours, theirs) if row.more_is_better else (theirs, ours)
    return better.median / worse.median if worse.median else None


def _text(row: Row, figure: Cell) -> str:
    median, least, most = (
        f"{value / row.unit:.{row.digits}f}" for value in (figure.median, figure.least, figure.most)
    )
    return f"{median} ({least}-{most})" if least != most else median


def render(samples: Sequence[Sample], systems: Sequence[System]) -> str:
    """The table: one line a figure, one column a system, and how the spliced proxy compares."""
    keys = [system.key for system in systems]
    rivals = [key for key in (RELAY, HAPROXY) if key in keys]
    lines = [["", *(TITLES[key] for key in keys), *(f"vs {VERSUS[key]}" for key in rivals)]]
    for measure in MEASURES:
        lines.append([measure.title])
        for row in (each for each in ROWS if each.measure == measure.key):
            cells = {key: cell(samples, measure.key, key, row.value) for key in keys}
            ratios = [advantage(row, cells[SPLICED], cells[key]) for key in rivals]
            lines.append(
                [f"  {row.title}", *(_text(row, cells[key]) for key in keys)]
                + [f"{ratio:.2f}x" if ratio is not None else "-" for ratio in ratios]
            )
        shares = [
            f"{in_kernel(samples, measure.key, key):.1%}" if key in (RELAY, SPLICED) else "-"
            for key in keys
        ]
        lines.append(["  bytes moved in kernel", *shares])
    return "\n".join([*_align(lines), "", *_notes(systems)])


def _align(lines: Sequence[Sequence[str]]) -> list[str]:
    columns = len(lines[0])
    full = [line for line in lines if len(line) > 1]
    widths = [max(len(line[i]) for line in full if i < len(line)) for i in range(columns)]
    aligned = []
    for line in lines:
        cells = [line[0].ljust(widths[0])]
        cells += [text.rjust(width) for text, width in zip(line[1:], widths[1:], strict=False)]
        aligned.append("  ".join(cells).rstrip())
    return aligned


def _notes(systems: Sequence[System]) -> list[str]:
    keys = [system.key for system in systems]
    notes = [
        "Median (least-most) of all rounds; 'vs' is how many times better sockproxy is: below 1,",
        "it is worse. CPU is the whole machine's, kernel threads included. See bench/README.md.",
    ]
    if HAPROXY not in keys:
        notes.append("HAProxy is not installed: left out (apt-get install haproxy).")
    notes += [
        f"{TITLES[system.key]} is not accelerated here: {system.why_not}"
        for system in systems
        if system.why_not
    ]
    return notes


def unstable(samples: Sequence[Sample], systems: Sequence[System]) -> str:
    """Which throughputs and rates lie far apart, as a sentence; empty when none do."""
    rates = [row for row in ROWS if row.more_is_better]
    spreads = {
        f"{row.measure} {TITLES[system.key]}": cell(
            samples, row.measure, system.key, row.value
        ).spread()
        for row in rates
        for system in systems
    }
    far = {name: spread for name, spread in spreads.items() if spread > SPREAD}
    if not far:
        return ""
    worst = max(far, key=lambda name: far[name])
    return (
        f"{len(far)} of {len(spreads)} rates lie more than {SPREAD:.0%} of their median apart, "
        f"the worst {far[worst]:.0%} ({worst})"
    )


def document(
    samples: Sequence[Sample],
    systems: Sequence[System],
    machine: dict[str, Any],
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Everything, for programs: raw samples first, the summary last."""
    return {
        "schema": SCHEMA,
        "kind": "demo",
        "machine": machine,
        "settings": settings,
        "measures": [asdict(measure) for measure in MEASURES],
        "systems": [
            {
                "key": system.key,
                "title": TITLES[system.key],
                "argv": _portable(system.server.argv) if system.server is not None else None,
                "why_not": system.why_not,
            }
            for system in systems
        ],
        "samples": [asdict(sample) for sample in samples],
        "summary": [
            {
                "measure": row.measure,
                "value": row.value,
                "more_is_better": row.more_is_better,
                "systems": {
                    system.key: asdict(cell(samples, row.measure, system.key, row.value))
                    for system in systems
                },
            }
            for row in ROWS
        ],
    }


def _portable(argv: Sequence[str]) -> list[str]:
    """A command line without this machine's path to the program."""
    return [Path(argv[0]).name, *argv[1:]]

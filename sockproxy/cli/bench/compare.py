"""`sockproxy bench compare`: what changed from one result to another."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from sockproxy.bench.result.compare import TOLERANCE, Row, confidence_for, unlike
from sockproxy.bench.result.compare import compare as compare_documents
from sockproxy.bench.result.document import Document, load, understood, write_whole
from sockproxy.bench.result.metrics import Metric, recorded
from sockproxy.bench.result.stats import Judgement
from sockproxy.cli.output import show_json, table
from sockproxy.errors import UsageError

__all__ = ["compare"]

GOT_WORSE = 1
EPILOG = """\b
Examples:
  sockproxy bench compare before.json after.json
  sockproxy bench compare before.json after.json --absolute --metric p99_us
  sockproxy bench compare before.json after.json --tolerance 5 --fail-on-worse
  sockproxy bench compare before.json after.json --output changes.html

\b
Exit status: 0 it was compared; 1 something is worse, with --fail-on-worse; 2 usage.
"""
FILE = click.Path(path_type=Path)


@click.command(epilog=EPILOG)
@click.argument("a", type=FILE)
@click.argument("b", type=FILE)
@click.option("--absolute", is_flag=True, help="Compare figures, not ratios to the baseline.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 100),
    default=TOLERANCE * 100,
    show_default=True,
    metavar="PERCENT",
    help="A difference up to this counts as none.",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="KEY",
    help="Compare the metric with this key, such as p99_us; may be repeated.  [default: rates and"
    " CPU]",
)
@click.option("--all", "every", is_flag=True, help="Compare all metrics.")
@click.option("--fail-on-worse", is_flag=True, help="Exit with 1 when something is worse.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Make a page of it there, with a chart; needs \"pip install 'sockproxy[report]'\".",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(
    a: Path,
    b: Path,
    absolute: bool,
    tolerance: float,
    metrics: tuple[str, ...],
    every: bool,
    fail_on_worse: bool,
    output: Path | None,
    as_json: bool,
) -> int:
    """Show what changed from A to B: two files that 'bench run' has kept.

    Compares each system's ratio to the baseline of its case, the first system that others are
    compared with there, so that another day's slower machine is no difference. The baseline
    itself is compared with --absolute only.
    """
    if every and metrics:
        raise UsageError("--all and --metric exclude each other", hint="leave one out")
    before, after = load(a), load(b)
    with understood(a, b):
        rows = compare_documents(
            before,
            after,
            absolute=absolute,
            tolerance=tolerance / 100,
            metrics=list(before["metrics"]) if every else list(metrics) or None,
        )
        differs = unlike(before, after)
        page = _page(before, after, rows, (a, b), tolerance) if output is not None else ""
    if output is not None:
        if output.resolve() in (a.resolve(), b.resolve()):
            raise UsageError(f"{output} is a result itself", hint="give another --output")
        write_whole(output, page.encode(errors="replace"))
    if differs:
        click.echo(f"bench: {differs}", err=True)
    if as_json:
        show_json(
            "bench-compare",
            a=str(a),
            b=str(b),
            absolute=absolute,
            tolerance=tolerance / 100,
            confidence=confidence_for(len(rows)),
            differs=differs,
            rows=[_fields(row) for row in rows],
        )
    else:
        with understood(a, b):
            _show(before, rows, tolerance)
    worse = any(row.judgement is Judgement.WORSE for row in rows)
    return GOT_WORSE if worse and fail_on_worse else 0


def _page(
    a: Document, b: Document, rows: list[Row], files: tuple[Path, Path], tolerance: float
) -> str:
    # Only here: the table needs neither templates nor plots.
    from sockproxy.bench.report.changes import build_changes
    from sockproxy.bench.report.html import render_changes

    names = (files[0].name, files[1].name)
    return render_changes(build_changes(a, b, rows, names, tolerance / 100))


def _fields(row: Row) -> dict[str, Any]:
    """A row of the JSON document, in which the judgement is called "verdict"."""
    fields = asdict(row)
    fields["verdict"] = fields.pop("judgement")
    return fields


def _show(document: Document, rows: list[Row], tolerance: float) -> None:
    metrics = recorded(document["metrics"])
    table(
        ("CASE", "SYSTEM", "METRIC", "AGAINST", "A", "B", "B / A", "JUDGEMENT"),
        [_cells(metrics[row.metric], row) for row in rows],
    )
    counts = Counter(row.judgement for row in rows)
    percent = confidence_for(len(rows)) * 100
    click.echo(
        f"\n{', '.join(f'{counts[judgement]} {judgement}' for judgement in Judgement)}\n"
        f"B / A is followed by its {percent:.4g} % interval; a difference is told where all of it\n"
        f"lies more than {tolerance:g} % from 1. docs/benchmarking.md tells how to read it."
    )


def _cells(metric: Metric, row: Row) -> tuple[str, ...]:
    a, b = (f"{each:.2f}x" if row.baseline else metric.show(each) for each in (row.a, row.b))
    change = f"{row.change.ratio:.2f}x ({row.change.low:.2f}-{row.change.high:.2f})"
    judgement = row.judgement.upper() if row.judgement is Judgement.WORSE else str(row.judgement)
    return (row.case, row.system, metric.title, row.baseline or "-", a, b, change, judgement)

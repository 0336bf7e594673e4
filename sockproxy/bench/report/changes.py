"""What changed from one result to another, as sentences, a chart and tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import sockproxy
from sockproxy.bench.machine import headline
from sockproxy.bench.report.facts import Facts
from sockproxy.bench.report.parts import Cell, Changes, Chart, ChartRow, Comparison, Table
from sockproxy.bench.report.parts import Row as TableRow
from sockproxy.bench.report.words import count, listed, number, short, when
from sockproxy.bench.result.compare import Row, confidence_for, unlike
from sockproxy.bench.result.document import Document
from sockproxy.bench.result.stats import Judgement

__all__ = ["build_changes"]

NAMED = 3  # cells of a sentence
MOST_SERIES = 3  # of a chart
MOST_CHARTS = 2
HEADS = ("Case", "System", "Metric", "Against", "A", "B", "B / A", "Judgement")
READING = {
    "B / A": (
        "What the second result has, divided by what the first has, with its {confidence:.4g} % "
        "interval: of the ratio to the system under 'Against', or of the figure itself where "
        "there is none. The more is compared, the wider the intervals are."
    ),
    "Judgement": (
        "Better or worse only where the whole interval lies more than {tolerance:g} % from 1: two "
        "days differ by more than the rounds of one."
    ),
}


def build_changes(
    a: Document, b: Document, rows: Sequence[Row], names: tuple[str, str], tolerance: float
) -> Changes:
    """The page's contents. rows: what compare() has found. names: of the two files. tolerance: the
    one that compare() had."""
    facts = Facts(a)
    changed = [row for row in rows if row.judgement in (Judgement.BETTER, Judgement.WORSE)]
    changed.sort(key=lambda row: row.judgement is not Judgement.WORSE)  # losses first
    others = [row for row in rows if row not in changed]
    values = {"confidence": confidence_for(len(rows)) * 100, "tolerance": tolerance * 100}
    differs = unlike(a, b)
    return Changes(
        title=f"From {names[0]} to {names[1]}",
        subtitle=f"What changed in the benchmark {a['scenario']['name']}",
        warnings=(differs[:1].upper() + differs[1:],) if differs else (),
        answer=tuple(_answer(facts, rows)),
        charts=tuple(_charts(facts, rows)),
        changed=_table(facts, changed),
        unchanged=_table(facts, others),
        results=_results({"A": (names[0], a), "B": (names[1], b)}),
        reading=tuple((name, text.format_map(values)) for name, text in READING.items()),
        footer=f"Made by sockproxy {sockproxy.__version__}.",
    )


# -- sentences ----------------------------------------------------------------------------


def _answer(facts: Facts, rows: Sequence[Row]) -> Iterator[str]:
    """Three sentences at most: how many changed, and by how much at most."""
    counts = Counter(row.judgement for row in rows)
    told = listed([f"{counts[it]} {it}" for it in Judgement if counts[it]])
    yield f"Of {count(len(rows), 'comparison')}: {told}."
    for judgement in (Judgement.WORSE, Judgement.BETTER):
        found = [row for row in rows if row.judgement is judgement]
        found.sort(key=lambda row: _gain(facts, row).ratio, reverse=judgement is Judgement.BETTER)
        named = [_named(facts, row) for row in found[:NAMED]]
        more = [f"and {len(found) - NAMED} more"] if len(found) > NAMED else []
        if found:
            yield f"{judgement.capitalize()}: {'; '.join([*named, *more])}."


def _named(facts: Facts, row: Row) -> str:
    title = facts.metrics[row.metric].title
    return f"{facts.title(row.system)} in {_short(facts, row.case)}, {title}: {_times(row)}"


def _times(row: Row) -> str:
    return _comparison(row).times


def _comparison(row: Row) -> Comparison:
    return Comparison(row.change.ratio, row.change.low, row.change.high, row.judgement)


def _gain(facts: Facts, row: Row) -> Comparison:
    """The change, turned so that above 1 is better."""
    found = _comparison(row)
    return found if facts.metrics[row.metric].more_is_better else found.turned()


def _short(facts: Facts, case: str) -> str:
    numbered = facts.numbered(case)
    return short(numbered[1]) if numbered else case


# -- charts and tables --------------------------------------------------------------------


def _charts(facts: Facts, rows: Sequence[Row]) -> Iterator[Chart]:
    """One for each of the metrics that were compared most often: a row a case."""
    many = Counter(row.metric for row in rows)
    for metric, _ in many.most_common(MOST_CHARTS):
        yield _chart(facts, [row for row in rows if row.metric == metric])


def _chart(facts: Facts, rows: Sequence[Row]) -> Chart:
    systems = [key for key, _ in Counter(row.system for row in rows).most_common(MOST_SERIES)]
    cells = {(row.case, row.system): _gain(facts, row) for row in rows}
    metric = facts.metrics[rows[0].metric]
    # Turned, where less is better, so that what is better is always to the right.
    title = f"{'B / A' if metric.more_is_better else 'A / B'} of {metric.title}"
    told = "; ".join(f"{_named(facts, row)}, {row.judgement}" for row in rows)
    shown = list(dict.fromkeys(row.case for row in rows))
    return Chart(
        title,
        tuple(map(facts.title, systems)),
        tuple(
            ChartRow(_label(facts, case), tuple(cells.get((case, key)) for key in systems))
            for case in shown
        ),
        f"{title}. {told}.",
    )


def _label(facts: Facts, case: str) -> str:
    numbered = facts.numbered(case)
    return f"{numbered[0] + 1}. {short(numbered[1])}" if numbered else case


def _table(facts: Facts, rows: Iterable[Row]) -> Table:
    caption = "Ratios to the system under 'Against', or figures where there is none"
    return Table(caption, HEADS, tuple(_row(facts, row) for row in rows))


def _row(facts: Facts, row: Row) -> TableRow:
    metric = facts.metrics[row.metric]
    a, b = (number(each) if row.baseline else metric.show(each) for each in (row.a, row.b))
    found = _comparison(row)
    against = facts.title(row.baseline) if row.baseline else ""
    texts = (facts.title(row.system), metric.title, against, a, b)
    change = Cell(found.times, found.interval, found.tone)
    return TableRow(
        _label(facts, row.case), (*map(Cell, texts), change, Cell(row.judgement, "", found.tone))
    )


def _results(results: dict[str, tuple[str, Document]]) -> Table:
    """Where the two come from: a row each."""
    rows = tuple(
        TableRow(
            name,
            (
                Cell(file),
                Cell(when(document)),
                Cell(f"sockproxy {document['sockproxy']}"),
                Cell(headline(document["machine"])),
                Cell(f"{document['scenario']['name']}, {document['scenario']['rounds']} rounds"),
            ),
        )
        for name, (file, document) in results.items()
    )
    heads = ("Result", "File", "Began", "By", "Machine", "Scenario")
    return Table("What was compared", heads, rows)

"""One case: its load, its table, and what its plots show."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from sockproxy.bench.report.facts import Facts
from sockproxy.bench.report.parts import Cell, Mark, Plot, Row, Section, Table
from sockproxy.bench.report.timeline import timeline
from sockproxy.bench.report.words import NONE, SPACE, anchor, count, span
from sockproxy.bench.scenario import PLACEMENTS, TOPOLOGIES
from sockproxy.bypass.view import WHY_LEFT
from sockproxy.units import format_size

__all__ = ["section"]

WAYS = {
    "short_circuited": "past the proxy",
    "bypassed": "bypassed",
    "redirected": "redirected in kernel",
    "pumped": "pumped",
    "tcp": "TCP",
    "proxy": "copied by the proxy",
    "unix": "AF_UNIX",
}
LEAST_SHARE = 0.005  # of the bytes, to be told
MOST_SHARE = 0.5  # of the bytes, from which on it is told why


def section(facts: Facts, number: int) -> Section:
    """The case of that number, counted from 0."""
    case = facts.cases[number]
    measured = bool(facts.first(case, case["headline"]))
    return Section(
        anchor=anchor(number),
        title=f"{number + 1}. {case['title']}",
        facts=tuple(_case_facts(facts, case)),
        plot=_plot(facts, case) if measured else None,
        timeline=timeline(facts, case) if measured else None,
        table=_table(facts, case) if case["systems"] else None,
        notes=tuple(_notes(facts, case)),
    )


def _case_facts(facts: Facts, case: dict[str, Any]) -> Iterator[tuple[str, str]]:
    load = [f"{case['tool']} {case['test']}".strip()]
    if case["connections"]:
        load.append(count(case["connections"], "connection"))
    if case["size"]:
        load.append(f"messages of {format_size(case['size']).replace(' ', SPACE)}")
    yield "Load", ", ".join(load)
    if commands := case.get("commands"):
        yield "Server", commands["server"]
        yield "Client", commands["client"]
        yield "Figure", commands["figure"]
    yield "Topology", TOPOLOGIES.get(case["topology"], case["topology"])
    yield "Placement", PLACEMENTS.get(case["placement"], case["placement"])
    samples = [
        each for system in case["systems"] for each in facts.samples.get((case["key"], system), [])
    ]
    checks = Counter(name for sample in samples for name in sample["checks"])
    if checks:
        told = [
            f"{name}, in {many} of {count(len(samples), 'run')}" for name, many in checks.items()
        ]
        yield "Checked", "; ".join(told)


def _table(facts: Facts, case: dict[str, Any]) -> Table:
    headline = facts.metrics[case["headline"]]
    against = facts.against(case)
    baseline = against[0] if against else ""
    middle = facts.first(case, "p50_us", "mean_us")
    tail = facts.first(case, "p99_us")
    cost = facts.first(case, *facts.costs)
    switches = facts.first(case, "switches_per_transaction")
    extra = [metric for metric in (middle, tail, cost, switches) if metric]
    heads = [
        "System",
        f"{headline.title}: median (least to most)",
        *(f"Ratio to {facts.title(key)}" for key in against),
        *(facts.metrics[metric].title for metric in extra),
        "Carried by",
    ]
    rows = []
    for system in case["systems"]:
        if (case["key"], headline.key, system) not in facts.cells:
            rows.append(Row(facts.title(system), fate=_fate(facts, case, system)))
            continue
        cells = [_figure(facts, case, system)]
        cells += [_ratio(facts, case, system, other) for other in against]
        cells += [_with_ratio(facts, case, metric, system, baseline) for metric in extra]
        rows.append(Row(facts.title(system), (*cells, Cell(_carried(facts, case, system)))))
    caption = f"Medians of {count(facts.scenario['rounds'], 'round')}, with the least and the most"
    if against:
        caption += f"; ratios with their {facts.confidence} intervals"
    if against and extra:
        caption += f"; the rest with its ratios to {facts.title(baseline)}"
    return Table(caption, tuple(heads), tuple(rows))


def _figure(facts: Facts, case: dict[str, Any], system: str) -> Cell:
    metric = facts.metrics[case["headline"]]
    cell = facts.cells[case["key"], metric.key, system]
    note = ""
    if cell["count"] > 1:
        note = span(metric.show(cell["least"]), metric.show(cell["most"]))
    if cell["count"] != facts.scenario["rounds"]:
        note = f"{note}{', ' if note else ''}{count(cell['count'], 'round')} only"
    return Cell(metric.show(cell["median"]), note)


def _ratio(facts: Facts, case: dict[str, Any], system: str, other: str) -> Cell:
    if system == other:
        return Cell("1", "itself")
    comparison = facts.comparison(case, case["headline"], system, other)
    if comparison is None:
        return Cell(NONE)
    return Cell(comparison.words, comparison.interval, comparison.tone)


def _with_ratio(
    facts: Facts, case: dict[str, Any], metric: str, system: str, baseline: str
) -> Cell:
    """The cell of a metric of which less is better: its median, and the ratio to the baseline."""
    comparison = facts.comparison(case, metric, system, baseline)
    text = facts.show(case, metric, system)
    if comparison is None:
        return Cell(text)
    return Cell(text, f"{comparison.words}, {comparison.interval}", comparison.tone)


def _carried(facts: Facts, case: dict[str, Any], system: str) -> str:
    """The ways that a system's bytes went."""
    told = [
        f"{share * 100:.0f}{SPACE}% {WAYS.get(way, way)}"
        for way, share in _shares(facts, case, system).items()
        if share >= LEAST_SHARE
    ]
    return ", ".join(told) or "not counted"


def _shares(facts: Facts, case: dict[str, Any], system: str) -> dict[str, float]:
    """By way, the median share of a system's bytes over all runs."""
    shares: dict[str, list[float]] = {way: [] for way in WAYS}
    for sample in facts.samples.get((case["key"], system), []):
        total = sum(sample["carried"].values())
        for way, moved in sample["carried"].items():
            shares.setdefault(way, []).append(moved / total if total else 0.0)
    return {way: statistics.median(each) for way, each in shares.items() if each}


def _fate(facts: Facts, case: dict[str, Any], system: str) -> str:
    """Why a system has no figure in the case."""
    for failure in facts.document["failures"]:
        if failure["case"] == case["key"] and failure["system"] in (system, ""):
            return f"failed: {failure['why']}"
    for skip in facts.document["skipped"]:
        if skip["case"] == case["key"] and skip["system"] == system:
            return str(skip["why"])
    return "not measured"


def _notes(facts: Facts, case: dict[str, Any]) -> Iterator[str]:
    for failure in facts.document["failures"]:
        if failure["case"] == case["key"]:
            who = facts.title(failure["system"]) if failure["system"] else "The whole case"
            when = f"in round {failure['round']}" if failure["round"] else "before the first round"
            yield f"{who} failed {when}: {failure['why']}"
    for skip in facts.document["skipped"]:
        if skip["case"] == case["key"]:
            who = facts.title(skip["system"]) if skip["system"] else "The whole case"
            yield f"{who} was skipped: {skip['why']}"
    for system in case["systems"]:
        if why := _why_tcp(facts, case, system):
            who = facts.title(system)
            yield f"{who} left most bytes to TCP. Why its sockets stayed plain: {why}"


def _why_tcp(facts: Facts, case: dict[str, Any], system: str) -> str:
    """Why a bypass carried less than half; "" where it carried more, or nothing tells."""
    if _shares(facts, case, system).get("tcp", 0.0) < MOST_SHARE:
        return ""
    sockets: Counter[str] = Counter()
    for sample in facts.samples.get((case["key"], system), []):
        sockets.update(sample.get("left_plain", {}))
    return "; ".join(WHY_LEFT.get(why, why) for why, _ in sockets.most_common())


# -- the plots of the case ----------------------------------------------------------------


def _plot(facts: Facts, case: dict[str, Any]) -> Plot:
    metric = facts.metrics[case["headline"]]
    against = facts.against(case)
    baseline = facts.title(against[0]) if against else ""
    marks = [
        _mark(facts, case, system, against[0] if against else "")
        for system in case["systems"]
        if (case["key"], metric.key, system) in facts.cells
    ]
    compared = [mark for mark in marks if mark.comparison]
    figures = _told((mark.title, mark.shown) for mark in marks)
    ratios = _told(
        (mark.title, f"{mark.comparison.words}, {mark.comparison.interval}")
        for mark in compared
        if mark.comparison
    )
    latencies = _told((mark.title, mark.latencies_shown) for mark in marks if mark.latencies)
    return Plot(
        unit=metric.title,
        confidence=facts.confidence,
        baseline=baseline if compared else "",
        marks=tuple(marks),
        more_is_better=metric.more_is_better,
        about_figures=f"{metric.title}, the median of each system. {figures}.",
        about_ratios=f"Ratio to {baseline} with its {facts.confidence} interval. {ratios}.",
        about_latencies=f"Median and p99 latency of each system, microseconds. {latencies}.",
    )


def _mark(facts: Facts, case: dict[str, Any], system: str, baseline: str) -> Mark:
    metric = facts.metrics[case["headline"]]
    samples = facts.samples.get((case["key"], system), [])
    figures = [each["values"][metric.key] for each in samples if metric.key in each["values"]]
    cell = facts.cells[case["key"], metric.key, system]
    latencies = {
        key: found["median"]
        for key in ("p50_us", "p99_us")
        if (found := facts.cells.get((case["key"], key, system))) and found["median"] > 0
    }
    whole = len(latencies) == 2
    return Mark(
        title=facts.title(system),
        points=tuple(each / metric.scale for each in figures),
        median=cell["median"] / metric.scale,
        shown=metric.show(cell["median"]),
        comparison=facts.comparison(case, metric.key, system, baseline),
        is_baseline=system == baseline,
        latencies=tuple(latencies.values()) if whole else (),
        latencies_shown=" / ".join(facts.show(case, key, system) for key in latencies),
    )


def _told(pairs: Iterable[tuple[str, str]]) -> str:
    return "; ".join(f"{name}: {text}" for name, text in pairs)

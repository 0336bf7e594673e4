"""What all cases together say of each system: what it wins, and what it loses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from sockproxy.bench.report.facts import Facts
from sockproxy.bench.report.parts import Cell, Comparison, Overview, Row, Table
from sockproxy.bench.report.words import NONE, anchor, count, every, listed, short
from sockproxy.bench.result.stats import Verdict

__all__ = ["overviews"]

BETTER, WORSE, SAME, FEW = Verdict.BETTER, Verdict.WORSE, Verdict.NO_DIFFERENCE, Verdict.TOO_FEW
NAMED = 3  # cases of a sentence; the table below has all


def overviews(facts: Facts) -> Iterator[Overview]:
    """One for each system that others are compared with, and at least one."""
    made = False
    for other in facts.scenario["against"]:
        found = _all_comparisons(facts, other)
        if found:
            made = True
            yield _overview(facts, other, found)
    if not made:
        lead = "Nothing was compared: no system and one to compare it with were both measured."
        yield Overview("", lead, (), None)


def _all_comparisons(facts: Facts, other: str) -> list[tuple[int, str, Comparison]]:
    """By their headlines: the number of the case, the system, the comparison."""
    return [
        (number, system, comparison)
        for number, case in enumerate(facts.cases)
        for system in case["systems"]
        if (comparison := facts.comparison(case, case["headline"], system, other))
    ]


def _overview(facts: Facts, other: str, found: Sequence[tuple[int, str, Comparison]]) -> Overview:
    cases = len({number for number, _, _ in found})
    counts = Counter(comparison.verdict for _, _, comparison in found)
    parts = [
        f"{many} {one if many == 1 else several}"
        for verdict, one, several in (
            (BETTER, "is better", "are better"),
            (WORSE, "is worse", "are worse"),
            (SAME, "shows no difference", "show no difference"),
            (FEW, "has too few rounds to tell", "have too few rounds to tell"),
        )
        if (many := counts[verdict])
    ]
    lead = (
        f"Compared with {facts.title(other)} by throughput or transactions, in"
        f" {count(cases, 'case')}: of {count(len(found), 'comparison')} {listed(parts)}."
    )
    systems = list(dict.fromkeys(system for _, system, _ in found))
    items = [
        (facts.title(system), _sentences(facts, other, system,
                                         [(n, it) for n, of, it in found if of == system]))
        for system in systems
    ]  # fmt: skip
    by_cell = {(number, system): comparison for number, system, comparison in found}
    failed = {(each["case"], each["system"]) for each in facts.document["failures"]}
    rows = [
        Row(
            f"{number + 1}. {case['title']}",
            tuple(
                _glance(by_cell.get((number, system)), (case["key"], system) in failed)
                for system in systems
            ),
            anchor(number),
        )
        for number, case in enumerate(facts.cases)
        if any((number, system) in by_cell for system in systems)
    ]
    table = Table(
        f"Ratio to {facts.title(other)}, of throughput or transactions; above 1 is faster",
        ("Case", *(facts.title(system) for system in systems)),
        tuple(rows),
    )
    return Overview(facts.title(other), lead, tuple(items), table)


def _glance(comparison: Comparison | None, failed: bool) -> Cell:
    if comparison is None:
        return Cell("failed" if failed else NONE)
    return Cell(comparison.times, comparison.verdict, comparison.tone)


def _sentences(
    facts: Facts, other: str, system: str, found: Sequence[tuple[int, Comparison]]
) -> str:
    """What one system is like against the other: what it wins, and all kinds of losses."""
    parts = []
    by_verdict = {
        verdict: [(number, it) for number, it in found if it.verdict == verdict]
        for verdict in Verdict
    }
    if some := by_verdict[BETTER]:
        ratios = sorted((it for _, it in some), key=lambda it: it.ratio)
        span = ratios[0].times
        if len(ratios) > 1 and ratios[-1].times != span:
            span = f"{span} to {ratios[-1].times}"
        parts.append(f"better in {len(some)} ({span})")
    if some := by_verdict[WORSE]:
        worst = sorted(some, key=lambda pair: pair[1].ratio)
        named = [f"{short(facts.cases[number])}: {it.times}" for number, it in worst[:NAMED]]
        more = [f"and {len(worst) - NAMED} more"] if len(worst) > NAMED else []
        parts.append(f"worse in {len(some)} ({'; '.join([*named, *more])})")
    for verdict, words in ((SAME, "no difference in"), (FEW, "too few rounds to tell in")):
        if some := by_verdict[verdict]:
            parts.append(f"{words} {len(some)}")
    cases = count(len(found), "case")
    if len(parts) == 1:
        text = parts[0].replace(f"in {len(found)}", f"in {every(cases)}", 1)
        text = f"{text[0].upper()}{text[1:]}."
    else:
        text = f"Of {cases}, {listed(parts)}."
    for metrics, words in ((facts.costs, "CPU cost"), (["p99_us"], "p99 latency")):
        text += _beside(facts, other, system, metrics, words)
    return text


def _beside(facts: Facts, other: str, system: str, metrics: Sequence[str], words: str) -> str:
    """The same for a figure where less is better, in a short sentence."""
    counts = Counter(
        comparison.verdict
        for case in facts.cases
        for metric in metrics
        if (comparison := facts.comparison(case, metric, system, other))
    )
    parts = [
        f"{word} in {counts[verdict]}"
        for verdict, word in ((BETTER, "lower"), (WORSE, "higher"), (SAME, "no difference"))
        if counts[verdict]
    ]
    return f" {words}: {listed(parts)}." if parts else ""

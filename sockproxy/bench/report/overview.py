"""What all cases together say of each system: what it wins, and what it loses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from sockproxy.bench.report.facts import Facts
from sockproxy.bench.report.parts import Cell, Comparison, Overview, Row, Table
from sockproxy.bench.report.words import NONE, anchor, count, every, listed, short
from sockproxy.bench.result.stats import Judgement

__all__ = ["overviews"]

BETTER, WORSE = Judgement.BETTER, Judgement.WORSE
SAME, FEW = Judgement.NO_DIFFERENCE, Judgement.TOO_FEW
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
    """All comparisons with the system `other`, by the headline metric of each case: the number
    of the case, the key of the system that is compared, and the comparison."""
    return [
        (number, system, comparison)
        for number, case in enumerate(facts.cases)
        for system in case["systems"]
        if (comparison := facts.comparison(case, case["headline"], system, other))
    ]


def _overview(facts: Facts, other: str, found: Sequence[tuple[int, str, Comparison]]) -> Overview:
    cases = len({number for number, _, _ in found})
    counts = Counter(comparison.judgement for _, _, comparison in found)
    parts = [
        f"{many} {one if many == 1 else several}"
        for judgement, one, several in (
            (BETTER, "is better", "are better"),
            (WORSE, "is worse", "are worse"),
            (SAME, "shows no difference", "show no difference"),
            (FEW, "has too few rounds to tell", "have too few rounds to tell"),
        )
        if (many := counts[judgement])
    ]
    lead = (
        f"Compared with {facts.title(other)} by throughput or transactions, in"
        f" {count(cases, 'case')}: of {count(len(found), 'comparison')} {listed(parts)}."
    )
    systems = list(dict.fromkeys(system for _, system, _ in found))
    items = [
        (
            facts.title(system),
            _sentences(facts, other, system, [(n, it) for n, of, it in found if of == system]),
        )
        for system in systems
    ]
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
    return Cell(comparison.times, comparison.judgement, comparison.tone)


def _sentences(
    facts: Facts, other: str, system: str, found: Sequence[tuple[int, Comparison]]
) -> str:
    """What is concluded of one system against the other: where it is better, where worse, and
    the same of its CPU cost and its latency."""
    parts = []
    by_judgement = {
        judgement: [(number, it) for number, it in found if it.judgement == judgement]
        for judgement in Judgement
    }
    if some := by_judgement[BETTER]:
        ratios = sorted((it for _, it in some), key=lambda it: it.ratio)
        span = ratios[0].times
        if len(ratios) > 1 and ratios[-1].times != span:
            span = f"{span} to {ratios[-1].times}"
        parts.append(f"better in {len(some)} ({span})")
    if some := by_judgement[WORSE]:
        worst = sorted(some, key=lambda pair: pair[1].ratio)
        named = [f"{short(facts.cases[number])}: {it.times}" for number, it in worst[:NAMED]]
        more = [f"and {len(worst) - NAMED} more"] if len(worst) > NAMED else []
        parts.append(f"worse in {len(some)} ({'; '.join([*named, *more])})")
    for judgement, words in ((SAME, "no difference in"), (FEW, "too few rounds to tell in")):
        if some := by_judgement[judgement]:
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
    """A short sentence on metrics of which less is better: in how many cases lower or higher."""
    counts = Counter(
        comparison.judgement
        for case in facts.cases
        for metric in metrics
        if (comparison := facts.comparison(case, metric, system, other))
    )
    parts = [
        f"{word} in {counts[judgement]}"
        for judgement, word in ((BETTER, "lower"), (WORSE, "higher"), (SAME, "no difference"))
        if counts[judgement]
    ]
    return f" {words}: {listed(parts)}." if parts else ""

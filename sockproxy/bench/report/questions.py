"""What a reader wants to know first: what a bypass gives, and how the proxies stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sockproxy.bench.report.facts import Facts, Kind
from sockproxy.bench.report.parts import Chart, ChartRow, Comparison, Question
from sockproxy.bench.report.words import count, every, listed, short
from sockproxy.bench.result.stats import Judgement
from sockproxy.bench.systems import BYPASS, BYPASS_ALL, PLAIN

__all__ = ["questions"]

MOST_SERIES = 3  # of a chart; the matrix below it has all
NAMED = 3  # cases of a sentence


@dataclass(frozen=True, slots=True)
class _Finding:
    """A system's ratio to the baseline of a case. number: the case's, from 0."""

    number: int
    system: str
    comparison: Comparison


def questions(facts: Facts) -> Iterator[Question]:
    """Both, each with its own baseline; one that nothing was measured for says so."""
    yield _bypass(facts)
    yield _proxies(facts)


def _bypass(facts: Facts) -> Question:
    found = _findings(facts, (BYPASS, BYPASS_ALL), lambda case: PLAIN)
    title = "What does a bypass give, against plain TCP?"
    if not found:
        nothing = "Nothing was compared: no bypass and plain TCP were both measured in one case."
        return Question("bypass", title, (nothing,), None)
    answer = (_wins(facts, found), _losses(facts, found), _costs(facts, found))
    chart = _chart(facts, found, f"Ratio to {facts.title(PLAIN)}")
    return Question("bypass", title, tuple(filter(None, answer)), chart)


def _proxies(facts: Facts) -> Question:
    ours = [key for key in facts.titles if facts.kind(key) is Kind.OURS]
    found = _findings(facts, ours, facts.best_other)
    title = "How do sockproxy's proxies stand against the best other proxy?"
    if not found:
        nothing = "Nothing was compared: no proxy of sockproxy's was measured beside another."
        return Question("proxies", title, (nothing,), None)
    numbers = dict.fromkeys(each.number for each in found)
    best = Counter(facts.title(facts.best_other(facts.cases[number])) for number in numbers)
    told = "; ".join(f"{name} in {many}" for name, many in best.most_common())
    answer = (
        _wins(facts, found),
        _losses(facts, found),
        f"Of {count(len(numbers), 'case')} the best other proxy is {told}.",
    )
    chart = _chart(facts, found, "Ratio to the best other proxy")
    return Question("proxies", title, tuple(filter(None, answer)), chart)


def _findings(
    facts: Facts, systems: Sequence[str], baseline: Callable[[dict[str, Any]], str]
) -> list[_Finding]:
    """The ratios of these systems by the headline of each case, in the order of cases: those of
    the systems that have most cases, as a chart holds no more."""
    found = [
        _Finding(number, system, comparison)
        for number, case in enumerate(facts.cases)
        for system in systems
        if system in case["systems"]
        and (comparison := facts.comparison(case, case["headline"], system, baseline(case)))
    ]
    many = Counter(each.system for each in found)
    chosen = {system for system, _ in many.most_common(MOST_SERIES)}
    return [each for each in found if each.system in chosen]


def _series(found: Sequence[_Finding]) -> dict[str, list[_Finding]]:
    """The findings of each system, those of the system with most cases first."""
    many = Counter(each.system for each in found)
    return {
        system: [each for each in found if each.system == system]
        for system, _ in many.most_common()
    }


# -- sentences ----------------------------------------------------------------------------


def _wins(facts: Facts, found: Sequence[_Finding]) -> str:
    parts = [_one(facts.title(key), some) for key, some in _series(found).items()]
    return f"{'; '.join(parts)}."


def _one(title: str, found: Sequence[_Finding]) -> str:
    """How a system stands: in how many cases it is better, and by how much."""
    by = _by_judgement(found)
    better, same, few = by[Judgement.BETTER], by[Judgement.NO_DIFFERENCE], by[Judgement.TOO_FEW]
    if len(few) == len(found):
        return f"{title} has too few rounds to tell"
    if len(better) == len(found):
        text = f"{title} is better in {every(count(len(found), 'case'))}"
    else:
        text = f"{title} is better in {len(better) or 'none'} of {count(len(found), 'case')}"
    if better:
        ratios = sorted((each.comparison for each in better), key=lambda it: it.ratio)
        text += f" ({' to '.join(dict.fromkeys((ratios[0].times, ratios[-1].times)))})"
    words = [f"no difference in {len(same)}"] * bool(same)
    words += [f"too few rounds to tell in {len(few)}"] * bool(few)
    return ", ".join([text, *words])


def _losses(facts: Facts, found: Sequence[_Finding]) -> str:
    """Where which system is worse, the worst first."""
    by = _by_judgement(found)
    worse = by[Judgement.WORSE]
    if not worse:
        return "" if len(by[Judgement.TOO_FEW]) == len(found) else "Nothing is found worse."
    worse.sort(key=lambda each: _gain(facts, each).ratio)
    named = [
        f"{facts.title(each.system)} in {short(facts.cases[each.number])}: {each.comparison.times}"
        for each in worse[:NAMED]
    ]
    more = [f"and {len(worse) - NAMED} more"] if len(worse) > NAMED else []
    return f"Worse in {len(worse)}: {'; '.join([*named, *more])}."


def _costs(facts: Facts, found: Sequence[_Finding]) -> str:
    """What the same work costs in CPU time, against plain TCP."""
    counts: Counter[str] = Counter()
    for each in found:
        case = facts.cases[each.number]
        for metric in facts.costs:
            if comparison := facts.comparison(case, metric, each.system, PLAIN):
                counts[comparison.judgement] += 1
    words = {Judgement.BETTER: "less", Judgement.WORSE: "more", Judgement.NO_DIFFERENCE: "the same"}
    told = [
        f"{word} in {counts[judgement]}" for judgement, word in words.items() if counts[judgement]
    ]
    return f"CPU time for the same work: {listed(told)} of {sum(counts.values())}." if told else ""


def _by_judgement(found: Sequence[_Finding]) -> dict[Judgement, list[_Finding]]:
    return {
        judgement: [each for each in found if each.comparison.judgement == judgement]
        for judgement in Judgement
    }


def _gain(facts: Facts, found: _Finding) -> Comparison:
    """The ratio, turned so that above 1 is better."""
    metric = facts.metrics[facts.cases[found.number]["headline"]]
    return found.comparison if metric.more_is_better else found.comparison.turned()


# -- the chart ----------------------------------------------------------------------------


def _chart(facts: Facts, found: Sequence[_Finding], title: str) -> Chart:
    series = list(_series(found))
    metrics = {facts.metrics[facts.cases[each.number]["headline"]] for each in found}
    if not all(metric.more_is_better for metric in metrics):
        title += ", turned round where less is better"
    cells = {(each.number, each.system): _gain(facts, each) for each in found}
    rows = tuple(
        ChartRow(
            f"{number + 1}. {short(facts.cases[number])}",
            tuple(cells.get((number, system)) for system in series),
        )
        for number in dict.fromkeys(each.number for each in found)
    )
    told = "; ".join(
        f"{facts.title(each.system)} in {short(facts.cases[each.number])}: {each.comparison.words}"
        for each in found
    )
    about = f"{title}, with {facts.confidence} intervals. {told}."
    return Chart(title, tuple(map(facts.title, series)), rows, about)

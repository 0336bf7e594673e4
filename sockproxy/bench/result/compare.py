"""What changed from one document to another, for the cells that both have.

Relative, which is the default: each system's ratio to a baseline that ran in the same rounds,
so that a machine which was slower as a whole on another day is no difference. The baseline
itself then has no row. Absolute: the figures as they are, the baseline's too.

Two runs of the same system on different days differ by more than their rounds do: another
layout in memory, other neighbours. So a difference is told only where the whole interval lies
beyond a tolerance; and the more cells are compared, the wider the intervals are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from sockproxy.bench.result.document import Document
from sockproxy.bench.result.stats import Judgement, Ratio, judge, unpaired_ratio
from sockproxy.bench.result.summary import Cell, Rounds, figures
from sockproxy.errors import UsageError

__all__ = ["TOLERANCE", "Row", "compare", "confidence_for", "unlike"]

TOLERANCE = 0.03
ERRORS = 0.2  # intervals of a comparison that may miss, as a mean over many comparisons
LEAST_CONFIDENCE = 0.99


@dataclass(frozen=True, slots=True)
class Row:
    """What changed in one cell.

    case, system, metric: their keys. baseline: the key of the system that a and b are ratios to;
    "" if they are figures. a, b: medians of the two documents. change: b / a. judgement: whether
    b is better than a.
    """

    case: str
    system: str
    metric: str
    baseline: str
    a: float
    b: float
    change: Ratio
    judgement: Judgement


def compare(
    a: Document,
    b: Document,
    *,
    absolute: bool = False,
    tolerance: float = TOLERANCE,
    metrics: Sequence[str] | None = None,
) -> list[Row]:
    """What changed from a to b, in the order of a.

    tolerance: a share, such as 0.03. metrics: keys; by default each case's headline, and what
    it costs in CPU time. Raises UsageError when nothing can be compared.
    """
    if unknown := [key for key in metrics or () if key not in a["metrics"]]:
        raise UsageError(f"no metric {unknown[0]}", hint=f"there are {', '.join(a['metrics'])}")
    shared = _shared(a, b, metrics)
    pairs = {cell: pair for cell, pair in shared.items() if absolute or _relative(a, shared, cell)}
    if not pairs:
        raise _nothing(a, b, bool(shared))
    confidence = confidence_for(len(pairs))
    rows = []
    for cell, pair in pairs.items():
        baseline, before, after = "", list(pair[0].values()), list(pair[1].values())
        if not absolute:
            baseline, before, after = _relative(a, shared, cell) or ("", [], [])
        change = unpaired_ratio(after, before, confidence)
        judgement = judge(change, a["metrics"][cell[1]]["more_is_better"], tolerance)
        case, metric, system = cell
        rows.append(
            Row(case, system, metric, baseline, median(before), median(after), change, judgement)
        )
    return rows


def confidence_for(cells: int) -> float:
    """The confidence that each interval needs when so many cells are compared at once, so that
    few of them differ by chance."""
    return max(LEAST_CONFIDENCE, 1 - ERRORS / max(1, cells))


def unlike(a: Document, b: Document) -> str:
    """One line on how the circumstances of the two runs differ; "" when they do not."""
    about = [
        (name, each[0], each[1])
        for name, each in {
            "kernel": (a["machine"]["kernel"], b["machine"]["kernel"]),
            "CPU": (a["machine"]["cpu"], b["machine"]["cpu"]),
            "number of CPUs": (a["machine"]["cpus"], b["machine"]["cpus"]),
            "scenario": (a["scenario"]["name"], b["scenario"]["name"]),
            "rounds": (a["scenario"]["rounds"], b["scenario"]["rounds"]),
            "seconds": (a["scenario"]["seconds"], b["scenario"]["seconds"]),
            "placement": (_placements(a), _placements(b)),
        }.items()
        if each[0] != each[1]
    ]
    if not about:
        return ""
    return "the two results differ in " + ", ".join(
        f"{name} ({one or 'unknown'} / {other or 'unknown'})" for name, one, other in about
    )


def _placements(document: Document) -> str:
    return "+".join(sorted({case["placement"] for case in document["cases"]}))


def _shared(
    a: Document, b: Document, metrics: Sequence[str] | None
) -> dict[Cell, tuple[Rounds, Rounds]]:
    """The figures of the cells that both documents have, by cell: those of a and those of b."""
    headlines = {case["key"]: case["headline"] for case in a["cases"]}
    others = figures(b)

    def wanted(cell: Cell) -> bool:
        if metrics is not None:
            return cell[1] in metrics
        return cell[1] == headlines[cell[0]] or cell[1].startswith("cpu")

    return {
        cell: (rounds, others[cell])
        for cell, rounds in figures(a).items()
        if cell in others and wanted(cell)
    }


def _relative(
    a: Document, shared: dict[Cell, tuple[Rounds, Rounds]], cell: Cell
) -> tuple[str, list[float], list[float]] | None:
    """A cell's baseline, and the ratios to it in both documents; None when the cell is the
    baseline's own, or when its case has none."""
    case, metric, system = cell
    baselines = (key for key in a["scenario"]["against"] if (case, metric, key) in shared)
    baseline = next(baselines, system)
    if baseline == system:
        return None
    before, after = (
        _quotients(ours, theirs)
        for ours, theirs in zip(shared[cell], shared[case, metric, baseline], strict=True)
    )
    return (baseline, before, after) if before and after else None


def _quotients(ours: Rounds, theirs: Rounds) -> list[float]:
    """Ours by theirs, for each round that has both; 0 where theirs is not above zero, which makes
    judge() conclude nothing."""
    both = sorted(ours.keys() & theirs.keys())
    return [ours[at] / theirs[at] if theirs[at] > 0 else 0.0 for at in both]


def _nothing(a: Document, b: Document, absolute_would: bool) -> UsageError:
    if absolute_would:
        return UsageError(
            "no system has a baseline that both results have",
            hint="compare the figures themselves, with --absolute",
        )
    names = f"{a['scenario']['name']} and {b['scenario']['name']}"
    return UsageError(
        f"the results of {names} have no case, system and metric in common",
        hint="run the same scenario for both",
    )

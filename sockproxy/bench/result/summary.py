"""What the samples of one document say: medians, ratios, and whether the machine was quiet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from statistics import median
from typing import Any

from sockproxy.bench.result.document import Document
from sockproxy.bench.result.stats import judge, paired_ratio

__all__ = ["Cell", "Rounds", "figures", "noise", "ratio_to", "summarize"]

SPREAD = 0.25  # (most - least) / median beyond which a figure is told as unstable
FOREIGN = 0.05  # share of all CPUs that others may take
ADVICE = "run again with more rounds on a quiet machine, see docs/benchmarking.md"

Cell = tuple[str, str, str]
"""The keys of a case, a metric and a system."""
Rounds = dict[int, float]
"""A figure of each round."""


def figures(document: Document) -> dict[Cell, Rounds]:
    """All figures, in the order of the document's cases, metrics and systems."""
    found: dict[Cell, Rounds] = {}
    for sample in document["samples"]:
        for metric, figure in sample["values"].items():
            cell = (sample["case"], metric, sample["system"])
            found.setdefault(cell, {})[sample["round"]] = figure
    ordered = (
        (case["key"], metric, system)
        for case in document["cases"]
        for metric in document["metrics"]
        for system in case["systems"]
    )
    return {cell: found[cell] for cell in ordered if cell in found}


def summarize(document: Document) -> list[dict[str, Any]]:
    """The document's `summary`, from its samples.

    A ratio is of those rounds in which both have a figure; where there are none, it is left out.
    """
    found = figures(document)
    return [
        {
            "case": cell[0],
            "metric": cell[1],
            "system": cell[2],
            "median": median(rounds.values()),
            "least": min(rounds.values()),
            "most": max(rounds.values()),
            "count": len(rounds),
            "ratios": _ratios(document, found, cell),
        }
        for cell, rounds in found.items()
    ]


def _ratios(document: Document, found: Mapping[Cell, Rounds], cell: Cell) -> dict[str, Any]:
    others = document["scenario"]["against"]
    ratios = {other: ratio_to(document, found, cell, other) for other in others}
    return {other: ratio for other, ratio in ratios.items() if ratio is not None}


def ratio_to(
    document: Document, found: Mapping[Cell, Rounds], cell: Cell, other: str
) -> dict[str, Any] | None:
    """An entry of `ratios`: of a cell to the same figure of the system `other`; None where they
    are the same, or have no round in common. found: what figures() returns."""
    case, metric, system = cell
    ours, theirs = found.get(cell, {}), found.get((case, metric, other), {})
    both = sorted(ours.keys() & theirs.keys())
    if other == system or not both:
        return None
    confidence = document["scenario"]["confidence"]
    ratio = paired_ratio([ours[at] for at in both], [theirs[at] for at in both], confidence)
    judgement = judge(ratio, document["metrics"][metric]["more_is_better"])
    return {**asdict(ratio), "verdict": str(judgement)}


def noise(document: Document) -> list[str]:
    """Warnings about figures that are unsteady, or were disturbed by other processes: a line for
    each of the two kinds, which names the worst cell."""
    return [line for line in (_unsteady(document), _disturbed(document)) if line]


def _unsteady(document: Document) -> str:
    headlines = {case["key"]: case["headline"] for case in document["cases"]}
    spreads = {
        (case, system): _spread(rounds)
        for (case, metric, system), rounds in figures(document).items()
        if headlines[case] == metric
    }
    return _beyond(
        spreads, SPREAD, f"{{}} headline figures spread over more than {SPREAD:.0%} of their median"
    )


def _spread(rounds: Rounds) -> float:
    middle = median(rounds.values())
    return (max(rounds.values()) - min(rounds.values())) / middle if middle > 0 else 0.0


def _disturbed(document: Document) -> str:
    cpus = document["machine"]["cpus"] or 1
    shares: dict[tuple[str, str], list[float]] = {}
    for sample in document["samples"]:
        time = sample["seconds"] * cpus
        share = sample["cpu"].get("foreign", 0.0) / time if time > 0 else 0.0
        shares.setdefault((sample["case"], sample["system"]), []).append(share)
    typical = {cell: median(each) for cell, each in shares.items()}
    return _beyond(
        typical,
        FOREIGN,
        f"others took more than {FOREIGN:.0%} of the CPUs during {{}} measurements",
    )


def _beyond(shares: Mapping[tuple[str, str], float], limit: float, trouble: str) -> str:
    """One line: the trouble, how many cells have it, and the worst; "" when none is over limit."""
    far = [cell for cell, share in shares.items() if share > limit]
    if not far:
        return ""
    case, system = worst = max(far, key=lambda cell: shares[cell])
    told = trouble.format(f"{len(far)} of {len(shares)}")
    return f"{told}, worst {system} in {case} with {shares[worst]:.0%}: {ADVICE}"

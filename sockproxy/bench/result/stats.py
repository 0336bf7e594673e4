"""Ratios of figures with their confidence intervals, and what may be said of them.

Rank intervals of the logarithms: Hodges and Lehmann's, from Wilcoxon's signed ranks for pairs
and from Mann and Whitney's for two separate sets. docs/decisions/0005-ratios.md tells why these
and no bootstrap, with what simulations found. Nothing here is random.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from statistics import NormalDist, fmean, median

__all__ = ["LEAST_PAIRS", "Judgement", "Ratio", "judge", "paired_ratio", "unpaired_ratio"]

LEAST_PAIRS = 5
"""With fewer pairs, or fewer figures on one side, an interval is the whole range, and nothing is
concluded of it."""
EXACT = 50  # above so many figures the distributions of ranks are normal enough


@dataclass(frozen=True, slots=True)
class Ratio:
    """Ours / theirs. low, high: the confidence interval; below LEAST_PAIRS the whole range.

    pairs: what it rests on; of two separate sets the size of the smaller one. It is 0, and the
    rest is only what the other figures say (1 when there are none), if any figure was zero,
    negative or not finite: to leave out just those would favour one side.
    """

    ratio: float
    low: float
    high: float
    pairs: int


class Judgement(StrEnum):
    """What may be concluded of a ratio."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no difference"
    TOO_FEW = "too few rounds"


def judge(ratio: Ratio, more_is_better: bool, tolerance: float = 0.0) -> Judgement:
    """Better or worse only where the whole interval lies on one side of 1.

    tolerance: the share, such as 0.03, by which the interval must be away from 1 besides.
    """
    if ratio.pairs < LEAST_PAIRS:
        return Judgement.TOO_FEW
    if ratio.low > 1 + tolerance:
        return Judgement.BETTER if more_is_better else Judgement.WORSE
    if ratio.high < 1 / (1 + tolerance):
        return Judgement.WORSE if more_is_better else Judgement.BETTER
    return Judgement.NO_DIFFERENCE


def paired_ratio(ours: Sequence[float], theirs: Sequence[float], confidence: float = 0.95) -> Ratio:
    """ours / theirs, where element i of both was taken in the same round.

    What both have in common in a round cancels out. Raises ValueError for unequal lengths.
    """
    both = list(zip(ours, theirs, strict=True))
    logs = sorted(
        math.log(one) - math.log(other) for one, other in both if _usable(one) and _usable(other)
    )
    means = sorted((one + other) / 2 for i, one in enumerate(logs) for other in logs[i:])
    pairs = len(logs) if len(logs) == len(both) else 0
    cut = _signed_rank_cut(len(logs), confidence)
    spread = math.sqrt(_variance(logs) / len(logs)) if logs else 0.0
    return _ratio(means, pairs, cut, fmean(logs or [0.0]), spread, pairs - 1, confidence)


def unpaired_ratio(a: Sequence[float], b: Sequence[float], confidence: float = 0.95) -> Ratio:
    """a / b, of two sets of figures that nothing joins."""
    ours, theirs = ([math.log(each) for each in figures if _usable(each)] for figures in (a, b))
    differences = sorted(one - other for one in ours for other in theirs)
    whole = len(ours) == len(a) and len(theirs) == len(b)
    if not differences or not whole:
        return _ratio(differences, 0, 0, 0.0, 0.0, 0, confidence)
    parts = [_variance(logs) / len(logs) for logs in (ours, theirs)]
    sizes = sorted((len(ours), len(theirs)))
    # Welch's degrees of freedom.
    weights = [
        part**2 / max(1, len(logs) - 1) for part, logs in zip(parts, (ours, theirs), strict=True)
    ]
    freedom = int(sum(parts) ** 2 / sum(weights)) if sum(weights) else sizes[0] - 1
    cut = _rank_sum_cut(sizes[0], sizes[1], confidence)
    centre, spread = fmean(ours) - fmean(theirs), math.sqrt(sum(parts))
    return _ratio(differences, sizes[0], cut, centre, spread, freedom, confidence)


def _ratio(
    ordered: Sequence[float],
    pairs: int,
    cut: int,
    centre: float,
    spread: float,
    freedom: int,
    confidence: float,
) -> Ratio:
    """The median of `ordered` logarithms, and the interval that is left when `cut` is passed.

    cut: which one from either end is the limit, counted from 1; 0 when ranks cannot be so
    confident with so few. Then it is the range, or Student's interval where that reaches on.
    """
    if not ordered:
        return Ratio(1.0, 1.0, 1.0, 0)
    low, high = ordered[max(cut, 1) - 1], ordered[-max(cut, 1)]
    if pairs < LEAST_PAIRS:
        low, high = ordered[0], ordered[-1]
    elif cut == 0:
        reach = _student(freedom, confidence) * spread
        low, high = min(low, centre - reach), max(high, centre + reach)
    return Ratio(_exp(median(ordered)), _exp(low), _exp(high), pairs)


def _usable(figure: float) -> bool:
    return math.isfinite(figure) and figure > 0


def _exp(power: float) -> float:
    return math.exp(min(power, 700.0))  # the largest that a float holds


def _variance(logs: Sequence[float]) -> float:
    if len(logs) < 2:
        return 0.0
    centre = fmean(logs)
    return math.fsum((each - centre) ** 2 for each in logs) / (len(logs) - 1)


@lru_cache(maxsize=256)
def _signed_rank_cut(pairs: int, confidence: float) -> int:
    """Which of the ordered means of two is the lower limit; 0 when none can be."""
    if pairs > EXACT:
        middle = pairs * (pairs + 1) / 4
        return _normal_cut(middle, middle * (2 * pairs + 1) / 6, confidence)
    ways = [1]  # in how many ways signs of the ranks so far lead to each sum
    for rank in range(1, pairs + 1):
        longer = ways + [0] * rank
        for total, count in enumerate(ways):
            longer[total + rank] += count
        ways = longer
    return _exact_cut(ways, confidence)


@lru_cache(maxsize=256)
def _rank_sum_cut(few: int, many: int, confidence: float) -> int:
    """Which of the ordered differences is the lower limit; 0 when none can be."""
    if many > EXACT:
        middle = few * many / 2
        return _normal_cut(middle, middle * (few + many + 1) / 6, confidence)
    last = few * many
    ways = [1] + [0] * last  # a Gaussian binomial: each step multiplies and divides by one factor
    for step in range(1, few + 1):
        for total in range(last, many + step - 1, -1):
            ways[total] -= ways[total - many - step]
        for total in range(step, last + 1):
            ways[total] += ways[total - step]
    return _exact_cut(ways, confidence)


def _exact_cut(ways: Sequence[int], confidence: float) -> int:
    """How many of the least sums are together as rare as the interval may be wrong below."""
    allowed = (1 - confidence) / 2 * sum(ways)
    reached = 0
    for total, count in enumerate(ways):
        reached += count
        if reached > allowed * (1 + 1e-9):
            return total
    return len(ways)  # not reached: all together are certain


def _normal_cut(middle: float, variance: float, confidence: float) -> int:
    tail = NormalDist().inv_cdf((1 + confidence) / 2)
    return max(0, math.floor(middle - tail * math.sqrt(variance)))


@lru_cache(maxsize=256)
def _student(freedom: int, confidence: float) -> float:
    """How many standard errors Student's two-sided interval reaches."""
    low, high = 0.0, 1.0
    while _student_inside(high, freedom) < confidence:
        low, high = high, high * 2
    for _ in range(60):
        middle = (low + high) / 2
        if _student_inside(middle, freedom) < confidence:
            low = middle
        else:
            high = middle
    return high


def _student_inside(reach: float, freedom: int) -> float:
    """The chance that Student's t is within `reach` of 0: the series for whole degrees."""
    angle = math.atan(reach / math.sqrt(freedom))
    sine, square = math.sin(angle), math.cos(angle) ** 2
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for step in range(1 + odd, freedom, 2):
        total += term
        term *= square * step / (step + 1)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total

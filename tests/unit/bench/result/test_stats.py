"""Ratios: how often an interval is wrong, what it finds, and figures that have no ratio."""

from __future__ import annotations

import json
import math
import random
import time
from dataclasses import asdict

import pytest

from sockproxy.bench.result.stats import (
    LEAST_PAIRS,
    Judgement,
    Ratio,
    judge,
    paired_ratio,
    unpaired_ratio,
)

TIMES = 1000


# Of 1000 judgements that are wrong one time in 20, more than 66 are in 1 of 100 simulations.
MOST_WRONG = 66


NOISES = {
    "3 %": lambda draw: math.exp(draw.gauss(0, 0.03)),
    "10 %": lambda draw: math.exp(draw.gauss(0, 0.1)),
    "outliers": lambda draw: (
        math.exp(draw.gauss(0, 0.03)) * (1 - (draw.random() < 0.07) * draw.uniform(0.3, 0.5))
    ),
    "heavy tails": lambda draw: math.exp(0.03 * draw.gauss(0, 1) / draw.expovariate(1) ** 0.5),
    "two speeds": lambda draw: math.exp(draw.gauss(0, 0.01)) * draw.choice((1, 0.85)),
    "whole microseconds": lambda draw: round(40 * math.exp(draw.gauss(0, 0.03))),
}


def rounds(draw, noise, pairs):
    """Two runs of the same system: the machine's speed drifts for both."""
    speed, ours, theirs = 1e5, [], []
    for _ in range(pairs):
        speed *= math.exp(draw.gauss(0, 0.05))
        ours.append(speed * noise(draw))
        theirs.append(speed * noise(draw))
    return ours, theirs


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("pairs", [5, 6, 8, 10, 20])
def test_the_same_system_is_no_difference_19_times_in_20(pairs, noise):
    draw = random.Random(f"{pairs} {noise}")
    judgements = [
        judge(paired_ratio(*rounds(draw, NOISES[noise], pairs)), True) for _ in range(TIMES)
    ]
    assert TIMES - judgements.count(Judgement.NO_DIFFERENCE) <= MOST_WRONG


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(("a", "b"), [(5, 5), (8, 8), (5, 20)])
def test_unpaired_sets_of_the_same_system_are_no_difference(a, b, noise):
    draw = random.Random(f"{a} {b} {noise}")
    make = NOISES[noise]
    judgements = [
        judge(unpaired_ratio([make(draw) for _ in range(a)], [make(draw) for _ in range(b)]), True)
        for _ in range(TIMES)
    ]
    assert TIMES - judgements.count(Judgement.NO_DIFFERENCE) <= MOST_WRONG


@pytest.mark.parametrize("noise", ["3 %", "outliers"])
@pytest.mark.parametrize("pairs", [5, 8, 10])
def test_the_interval_has_the_true_ratio(pairs, noise):
    draw = random.Random(f"true {pairs} {noise}")
    held = 0
    for _ in range(TIMES):
        ours, theirs = rounds(draw, NOISES[noise], pairs)
        ratio = paired_ratio([1.3 * each for each in ours], theirs)
        assert ratio.low <= ratio.ratio <= ratio.high
        held += ratio.low <= 1.3 <= ratio.high
    assert TIMES - held <= MOST_WRONG


@pytest.mark.parametrize(
    ("pairs", "noise", "share"),
    [(8, "3 %", 0.65), (10, "3 %", 0.8), (20, "3 %", 0.98), (20, "outliers", 0.75)],
)
def test_five_percent_are_found_most_of_the_time(pairs, noise, share):
    draw = random.Random(f"power {pairs}")
    found = 0
    for _ in range(TIMES):
        ours, theirs = rounds(draw, NOISES[noise], pairs)
        found += judge(paired_ratio([1.05 * each for each in ours], theirs), True) == "better"
    assert found >= share * TIMES


@pytest.mark.parametrize("make", [paired_ratio, unpaired_ratio])
@pytest.mark.parametrize("confidence", [0.95, 0.99, 0.999])
@pytest.mark.parametrize(
    ("factor", "more_is_better", "judgement"),
    [(2, True, "better"), (2, False, "worse"), (0.5, True, "worse"), (0.5, False, "better")],
)
def test_known_differences_in_both_directions(make, confidence, factor, more_is_better, judgement):
    draw = random.Random(1)
    for size in (5, 6, 8, 60):
        ours, theirs = (
            [draw.lognormvariate(0, 0.01) * times for _ in range(size)] for times in (factor, 1)
        )
        ratio = make(ours, theirs, confidence)
        assert ratio.ratio == pytest.approx(factor, rel=0.05)
        assert judge(ratio, more_is_better) == judgement


@pytest.mark.parametrize("make", [paired_ratio, unpaired_ratio])
def test_more_confidence_is_a_wider_interval(make):
    draw = random.Random(2)
    for size in (5, 8, 20, 51, 100):
        ours, theirs = ([draw.lognormvariate(0, 0.1) for _ in range(size)] for _ in range(2))
        found = [make(ours, theirs, confidence) for confidence in (0.8, 0.95, 0.99, 0.9999)]
        widths = [each.high - each.low for each in found]
        assert widths == sorted(widths)
        assert widths[0] < widths[-1]


def test_what_is_exact_and_what_is_nearly_normal_meet():
    logs = [number / 1000 for number in range(-25, 26)]
    few, many = (
        paired_ratio([math.exp(each) for each in part], [1.0] * len(part))
        for part in (logs[:-1], logs)
    )
    assert many.low == pytest.approx(few.low, abs=0.001)
    assert many.high == pytest.approx(few.high, abs=0.001)


def test_intervals_are_those_of_wilcoxons_tables():
    # With 8 pairs, sums up to 3 are rejected: the limits are the fourth mean from either end.
    logs = [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]
    means = sorted((x + y) / 2 for i, x in enumerate(logs) for y in logs[i:])
    ratio = paired_ratio([math.exp(each) for each in logs], [1.0] * 8)
    assert math.log(ratio.low) == pytest.approx(means[3])
    assert math.log(ratio.high) == pytest.approx(means[-4])
    # With 5 and 6 figures, U up to 3 is.
    differences = sorted(x - y for x in logs[:5] for y in logs[:6])
    ratio = unpaired_ratio(*([math.exp(each) for each in logs[:size]] for size in (5, 6)))
    assert math.log(ratio.low) == pytest.approx(differences[3])
    assert math.log(ratio.high) == pytest.approx(differences[-4])


def test_five_pairs_have_students_interval_where_it_is_wider_than_the_range():
    logs = [-0.02, -0.02, 0.0, 0.02, 0.02]
    ratio = paired_ratio([math.exp(each) for each in logs], [1.0] * 5)
    deviation = 0.02
    assert math.log(ratio.high) == pytest.approx(2.776445 * deviation / math.sqrt(5), rel=1e-6)
    assert math.log(ratio.low) == pytest.approx(-math.log(ratio.high))
    for confidence, quantile in ((0.99, 4.604095), (0.999, 8.610302)):
        ratio = paired_ratio([math.exp(each) for each in logs], [1.0] * 5, confidence)
        assert math.log(ratio.high) == pytest.approx(quantile * deviation / 5**0.5, rel=1e-6)


@pytest.mark.parametrize("make", [paired_ratio, unpaired_ratio])
def test_few_rounds_have_a_range_and_no_judgement(make):
    for size in range(1, LEAST_PAIRS):
        ratio = make([2.0 + each / 10 for each in range(size)], [1.0] * size)
        assert (ratio.low, ratio.high) == (pytest.approx(2), pytest.approx(1.9 + size / 10))
        assert ratio.low <= ratio.ratio <= ratio.high
        assert ratio.pairs == size
        assert judge(ratio, True) == "too few rounds"


@pytest.mark.parametrize("make", [paired_ratio, unpaired_ratio])
def test_identical_figures(make):
    for size in (5, 6, 20, 60):
        same = make([3.0] * size, [3.0] * size)
        assert asdict(same) == {"ratio": 1, "low": 1, "high": 1, "pairs": size}
        assert judge(same, True) == "no difference"
        double = make([6.0] * size, [3.0] * size)
        assert asdict(double) == {
            "ratio": pytest.approx(2),
            "low": pytest.approx(2),
            "high": pytest.approx(2),
            "pairs": size,
        }
        assert judge(double, False) == "worse"


@pytest.mark.parametrize("make", [paired_ratio, unpaired_ratio])
@pytest.mark.parametrize("bad", [0.0, 0, -1.0, math.nan, math.inf, -math.inf])
def test_figures_without_a_ratio(make, bad):
    good = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]
    for ours, theirs in (([bad, *good], [1.0, *good]), ([1.0, *good], [bad, *good])):
        ratio = make(ours, theirs)
        assert ratio.pairs == 0
        assert 0 < ratio.low <= ratio.ratio <= ratio.high < 2
        assert judge(ratio, True) == "too few rounds"
        json.dumps(asdict(ratio), allow_nan=False)
    assert make([bad] * 8, [bad] * 8) == make([], []) == Ratio(1.0, 1.0, 1.0, 0)


@pytest.mark.parametrize("make", [paired_ratio, unpaired_ratio])
def test_the_largest_and_the_least_figures(make):
    ratio = make([1e308] * 6, [5e-324] * 6)
    assert judge(ratio, True) == "better"
    json.dumps(asdict(ratio), allow_nan=False)
    assert judge(make([5e-324] * 6, [1e308] * 6), True) == "worse"


def test_pairs_are_of_one_length():
    with pytest.raises(ValueError, match="longer"):
        paired_ratio([1.0] * 6, [1.0] * 7)


def test_an_interval_that_touches_1_is_no_difference():
    assert judge(Ratio(1.2, 1.0, 1.4, 9), True) == "no difference"
    assert judge(Ratio(0.8, 0.6, 1.0, 9), True) == "no difference"
    assert judge(Ratio(1.2, 1.02, 1.4, 9), True) == "better"
    assert judge(Ratio(1.2, 1.02, 1.4, 9), True, tolerance=0.03) == "no difference"
    assert judge(Ratio(0.8, 0.6, 0.98, 9), True, tolerance=0.03) == "no difference"
    assert judge(Ratio(0.8, 0.6, 0.9, 9), True, tolerance=0.03) == "worse"


def test_it_is_the_same_each_time_and_quick():
    draw = random.Random(3)
    ours, theirs = rounds(draw, NOISES["3 %"], 20)
    first = paired_ratio(ours, theirs)
    began = time.process_time()
    assert all(paired_ratio(ours, theirs) == first for _ in range(100))
    assert time.process_time() - began < 0.3

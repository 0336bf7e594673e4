"""Comparing two documents: how often it is wrong, what it finds, and what cannot be compared."""

from __future__ import annotations

import copy

import pytest

from sockproxy.bench.result.compare import compare, confidence_for, unlike
from sockproxy.errors import UsageError
from tests.support.bench_rounds import SYSTEMS, make


def judgements(rows):
    return {(row.system, row.metric, str(row.judgement)) for row in rows}


def without(document, **which):
    """The document without the samples that have all of these."""
    less = copy.deepcopy(document)
    less["samples"] = [
        sample
        for sample in less["samples"]
        if any(sample[key] != value for key, value in which.items())
    ]
    return less


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("rounds", [6, 10])
def test_two_documents_of_the_same_systems(absolute, rounds):
    clean, alarms, compared = 0, 0, 0
    for seed in range(15):
        a, b = (make(f"{seed} {one}", rounds, cases=10, sigma=0.03, day=0.01) for one in ("a", "b"))
        rows = compare(a, b, absolute=absolute)
        assert len(rows) == (80 if absolute else 60)
        wrong = sum(row.judgement != "no difference" for row in rows)
        assert {row.baseline for row in rows} == {"" if absolute else "plain"}
        clean += wrong == 0
        alarms += wrong
        compared += len(rows)
    assert clean >= 10
    assert alarms <= compared / 20


def test_a_slower_day_is_a_difference_in_absolute_figures_only():
    a, b = make("a"), make("b", speed=0.7)
    assert {row.judgement for row in compare(a, b)} == {"no difference"}
    rows = compare(a, b, absolute=True)
    assert {row.judgement for row in rows} == {"worse"}
    assert {row.system for row in rows} == set(SYSTEMS)


@pytest.mark.parametrize(("factor", "judgement"), [(1.25, "better"), (0.8, "worse")])
def test_known_changes_in_both_directions(factor, judgement):
    """One that is faster has more transactions and less CPU time for each: both are better."""
    a, b = make("a"), make("b", speed=0.8, factors={"bypass": factor})
    rows = compare(a, b)
    assert judgements(rows) == {
        (system, metric, judgement if system == "bypass" else "no difference")
        for system in ("bypass", "relay", "splice")
        for metric in ("per_s", "cpu_us_per_transaction")
    }
    row = rows[0]
    assert (row.system, row.metric, row.baseline) == ("bypass", "per_s", "plain")
    assert row.a == pytest.approx(1, rel=0.03)
    assert row.b == pytest.approx(factor, rel=0.03)
    assert row.change.low <= factor <= row.change.high


def test_a_baseline_that_changed_is_told_in_absolute_mode():
    a, b = make("a"), make("b", factors={"plain": 1.5})
    assert {row.judgement for row in compare(a, b)} == {"worse"}
    changed = {row.system for row in compare(a, b, absolute=True) if row.judgement == "better"}
    assert changed == {"plain"}


def test_tolerance():
    a, b = make("a", sigma=0.002), make("b", sigma=0.002, factors={"bypass": 1.02})
    by_default, strict = compare(a, b), compare(a, b, tolerance=0.0)
    assert {row.judgement for row in by_default} == {"no difference"}
    assert {row.judgement for row in strict if row.system == "bypass"} == {"better"}


def test_metrics():
    a, b = make("a"), make("b")
    assert {row.metric for row in compare(a, b)} == {"per_s", "cpu_us_per_transaction"}
    assert {row.metric for row in compare(a, b, metrics=["p99_us"])} == {"p99_us"}
    with pytest.raises(UsageError, match="no metric p98_us; there are per_s, p99_us"):
        compare(a, b, metrics=["p98_us"])


def test_the_baseline_is_the_first_that_both_have():
    a, b = make("a"), without(make("b"), system="plain")
    rows = compare(a, b)
    assert {row.baseline for row in rows} == {"relay"}
    assert {row.system for row in rows} == {"bypass", "splice"}


def test_rounds_are_joined_within_each_document():
    a = make("a", rounds=12)
    b = without(without(make("b", rounds=9), system="plain", round=3), system="bypass", round=4)
    rows = {(row.system, row.metric): row for row in compare(a, b)}
    assert rows["bypass", "per_s"].change.pairs == 7
    assert rows["splice", "per_s"].change.pairs == 8
    assert {row.judgement for row in rows.values()} == {"no difference"}


def test_too_few_rounds_and_no_common_round():
    a, b = make("a"), make("b", rounds=4)
    assert {row.judgement for row in compare(a, b)} == {"too few rounds"}
    for sample in b["samples"]:
        sample["round"] += 10 if sample["system"] == "bypass" else 0
    assert {row.system for row in compare(a, b)} == {"relay", "splice"}


def test_figures_of_zero():
    a, b = make("a"), make("b")
    for sample in a["samples"]:
        if sample["system"] == "plain":
            sample["values"]["cpu_us_per_transaction"] = 0.0
    found = {row.metric: row.judgement for row in compare(a, b)}
    assert found == {"per_s": "no difference", "cpu_us_per_transaction": "too few rounds"}
    assert compare(a, b, absolute=True)


def test_nothing_in_common():
    a, b = make("a"), make("b")
    for case in b["cases"]:
        case["key"] += "-other"
    for sample in b["samples"]:
        sample["case"] += "-other"
    for absolute in (False, True):
        with pytest.raises(UsageError, match="in common; run the same scenario"):
            compare(a, b, absolute=absolute)


def test_without_a_baseline_only_figures_can_be_compared():
    a, b = (make(seed, systems=("bypass", "splice")) for seed in "ab")
    with pytest.raises(UsageError, match="--absolute"):
        compare(a, b)
    assert len(compare(a, b, absolute=True)) == 8


def test_confidence_grows_with_the_number_of_cells():
    assert confidence_for(0) == confidence_for(20) == 0.99
    assert confidence_for(200) == pytest.approx(0.999)


def test_what_differs():
    a, b = make("a"), make("b")
    assert unlike(a, b) == ""
    b["machine"].update(kernel="6.12", cpu=None)
    b["scenario"].update(rounds=8)
    b["cases"][0]["placement"] = "apart"
    assert unlike(a, b) == (
        "the two results differ in kernel (6.1 / 6.12), CPU (some / unknown), rounds (10 / 8),"
        " placement (together / apart+together)"
    )

"""The summary of a document: medians, ratios, and warnings of noise."""

from __future__ import annotations

import json

import pytest

from sockproxy.bench.result.summary import noise, summarize


def document(samples, systems=("plain", "relay", "bypass"), against=("plain", "relay")):
    """samples: (system, round, {metric: figure})."""
    return {
        "scenario": {"confidence": 0.95, "against": list(against)},
        "machine": {"cpus": 2},
        "cases": [{"key": "c", "headline": "per_s", "systems": list(systems)}],
        "metrics": {
            "per_s": {"more_is_better": True},
            "p99_us": {"more_is_better": False},
        },
        "samples": [
            {"case": "c", "system": system, "round": number, "values": values,
             "seconds": 1.0, "cpu": {"client": 0.5, "foreign": 0.01}}
            for system, number, values in samples
        ],
    }  # fmt: skip


def cells(document):
    return {(each["metric"], each["system"]): each for each in summarize(document)}


def test_summary():
    found = summarize(
        document(
            [
                ("relay", 1, {"p99_us": 40, "per_s": 30}),
                *(("bypass", at, {"p99_us": 10 + at, "per_s": 200 + at}) for at in range(1, 7)),
                *(("plain", at, {"p99_us": 20 + at, "per_s": 100 + at}) for at in range(1, 7)),
            ]
        )
    )
    assert [(each["case"], each["metric"], each["system"]) for each in found] == [
        ("c", metric, system)
        for metric in ("per_s", "p99_us")
        for system in ("plain", "relay", "bypass")
    ]
    plain, relay, bypass = found[:3]
    assert (plain["median"], plain["least"], plain["most"], plain["count"]) == (103.5, 101, 106, 6)
    assert plain["ratios"].keys() == {"relay"}
    assert relay["ratios"]["plain"]["verdict"] == "too few rounds"
    assert relay["ratios"]["plain"]["pairs"] == 1
    assert bypass["ratios"].keys() == {"plain", "relay"}
    assert bypass["ratios"]["plain"]["verdict"] == "better"
    assert bypass["ratios"]["plain"].keys() == {"ratio", "low", "high", "pairs", "verdict"}
    assert found[5]["ratios"]["plain"]["ratio"] == pytest.approx(0.57, abs=0.02)
    assert found[5]["ratios"]["plain"]["verdict"] == "better"
    json.dumps(found, allow_nan=False)


def test_only_rounds_of_both_make_a_pair():
    # Each round has another speed; figures of different rounds would give any ratio.
    taken = [("plain", at, {"per_s": 10.0**at}) for at in (1, 2, 3, 5, 6, 7, 9)]
    taken += [("bypass", at, {"per_s": 2 * 10.0**at}) for at in (8, 7, 6, 5, 4, 2, 1)]
    ratio = cells(document(taken))["per_s", "bypass"]["ratios"]["plain"]
    assert ratio["pairs"] == 5
    assert [ratio[key] for key in ("ratio", "low", "high")] == pytest.approx([2, 2, 2])
    taken = [("plain", 1, {"per_s": 1.0}), ("bypass", 2, {"per_s": 2.0})]
    assert cells(document(taken))["per_s", "bypass"]["ratios"] == {}


def test_zeros_in_a_summary():
    taken = [(key, at, {"p99_us": 0.0}) for at in range(8) for key in ("plain", "bypass")]
    cell = cells(document(taken))["p99_us", "bypass"]
    assert cell["median"] == 0
    assert cell["ratios"]["plain"]["verdict"] == "too few rounds"


def test_the_summary_of_nothing():
    assert summarize(document([])) == noise(document([])) == []


def test_a_quiet_machine_has_no_warnings():
    quiet = document([("plain", at, {"per_s": 100 + at, "p99_us": at + 1}) for at in range(9)])
    assert noise(quiet) == []  # only headlines count


def test_warnings_of_noise():
    taken = [("plain", at, {"per_s": 100 + at}) for at in range(9)]
    taken += [("relay", at, {"per_s": 100 + 4 * at}) for at in range(9)]
    taken += [("bypass", at, {"per_s": 100 + 8 * at}) for at in range(9)]
    loud = document(taken)
    for sample in loud["samples"]:
        sample["cpu"]["foreign"] = {"plain": 0.01, "relay": 0.12, "bypass": 0.5}[sample["system"]]
    spread, foreign = noise(loud)
    assert "2 of 3 headline figures" in spread
    assert "worst bypass in c with 48%" in spread
    assert "2 of 3 measurements" in foreign
    assert "worst bypass in c with 25%" in foreign
    assert "docs/benchmarking.md" in spread
    assert "docs/benchmarking.md" in foreign

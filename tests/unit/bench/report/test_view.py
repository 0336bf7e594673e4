"""What a report concludes and warns of."""

from __future__ import annotations

import re

from sockproxy.bench.report import markdown
from sockproxy.bench.report.view import build
from tests.support import bench_document as documents
from tests.support.bench_report import TROUBLE


def test_judgement_counts_as_the_summary_does():
    document = documents.document()
    headlines = {case["key"]: case["headline"] for case in document["cases"]}
    judgements = [
        each["ratios"]["plain"]["verdict"]
        for each in document["summary"]
        if headlines[each["case"]] == each["metric"] and "plain" in each["ratios"]
    ]
    overview, _ = build(document).overviews
    counts = [judgements.count(each) for each in ("better", "worse", "no difference")]
    assert counts == [5, 10, 1]
    assert overview.lead.endswith(
        "in 4 cases: of 16 comparisons 5 are better, 10 are worse and 1 shows no difference."
    )
    told = dict(overview.items)["sockproxy bypass"]
    assert "better in 2" in told
    assert "worse in 1 (netperf TCP_CRR, 64 B: 0.9" in told
    assert "no difference in 1" in told


def test_losses_are_named_worst_first():
    figures = {"plain": 1e3, "bypass": 1e3}
    cases = [
        documents.case(f"c{n}", f"load {n}; here", {**figures, "bypass": 1e3 * share})
        for n, share in enumerate((0.8, 0.5, 0.3, 0.6, 0.7))
    ]
    ((_, told),) = build(documents.document(cases, noise_share=0.001)).overviews[0].items
    assert "Worse in all 5 cases (load 2: " in told
    assert re.findall(r"load (\d)", told) == ["2", "1", "3"]
    assert "and 2 more" in told
    assert "CPU cost: higher in 5" in told


def test_nothing_is_concluded_of_one_round():
    text = markdown.render(documents.document(rounds=1))
    assert "16 have too few rounds to tell" in text
    assert "better (" not in text


def test_incomplete_and_not_accelerated_are_warnings():
    document = documents.document(complete=False)
    document["systems"][3]["why_not"] = "no BPF here"
    warnings = build(document).warnings
    assert "Not complete" in warnings[0]
    assert warnings[1] == "sockproxy relay was not accelerated: no BPF here"


def test_overview_tells_of_failures():
    (crr,) = [
        row
        for row in build(documents.document(**TROUBLE)).overviews[0].table.rows
        if "TCP_CRR" in row.title
    ]
    assert "failed" in [cell.text for cell in crr.cells]


def test_every_sample_is_drawn():
    ((mark, *_), *_) = [section.plot.marks for section in build(documents.document()).sections]
    assert len(mark.points) == 8

"""The page of what changed between two results: whole, safe, and what it concludes."""

from __future__ import annotations

import pytest

from sockproxy.bench.report.changes import build_changes
from sockproxy.bench.report.html import render_changes
from sockproxy.bench.result.compare import TOLERANCE, compare
from tests.support import bench_document as documents
from tests.support.bench_report import HOSTILE, Page, hostile

FIGURES = {"plain": 1e3, "bypass": 1.5e3, "relay": 5e2}


def one(seed, headline="per_s", **factors):
    figures = {key: figure * factors.get(key, 1) for key, figure in FIGURES.items()}
    case = documents.case("x", "load; here", figures, headline=headline)
    return documents.document([case], seed=seed, rounds=10, noise_share=0.005)


def changes(a, b, **options):
    return build_changes(a, b, compare(a, b, **options), ("a.json", "b.json"), TOLERANCE)


def test_what_changed():
    found = changes(one(1), one(2, bypass=0.5, relay=1.5))
    counts, worse, better = found.answer
    assert counts == "Of 4 comparisons: 2 better and 2 worse."
    assert worse.startswith("Worse: sockproxy bypass in load, ")
    assert better.startswith("Better: sockproxy relay in load, ")
    assert [row.cells[-1].text for row in found.changed.rows] == [
        "worse",
        "worse",
        "better",
        "better",
    ]
    assert not found.unchanged.rows
    rate, cost = found.charts
    assert (rate.title[:8], cost.title[:8]) == ("B / A of", "A / B of")
    for chart in (rate, cost):  # what is worse is below 1 in both
        assert [cell.ratio < 1 for cell in chart.rows[0].cells] == [True, False]


def test_nothing_changed():
    found = changes(one(1), one(2))
    assert found.answer == ("Of 4 comparisons: 4 no difference.",)
    assert not found.changed.rows
    assert len(found.unchanged.rows) == 4


def test_figures_themselves_have_no_baseline():
    found = changes(one(1), one(2), absolute=True, metrics=["per_s"])
    assert [row.cells[2].text for row in found.unchanged.rows] == [""] * 3


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (documents.document(), documents.document(seed=8)),
        (hostile(), hostile()),
        (one(1), documents.document([documents.case("x", "load; here", FIGURES)], rounds=2)),
    ],
    ids=["whole", "hostile", "few rounds"],
)
def test_the_page_is_whole_and_safe(a, b):
    names = (HOSTILE, "b.json")
    text = render_changes(build_changes(a, b, compare(a, b), names, TOLERANCE))
    found = Page(text)
    assert (found.fetched, found.scripts, found.scopeless, found.unlabelled) == ([], 0, 0, 0)
    assert len(set(found.ids)) == len(found.ids)
    assert "<script>" not in text
    assert "None" not in found.text
    assert found.text.startswith("From <script>alert(1)</script>")

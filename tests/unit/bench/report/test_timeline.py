"""How long runs went, second by second."""

from __future__ import annotations

import re

from sockproxy.bench.report.html import render
from sockproxy.bench.report.view import build
from tests.support import bench_document as documents

FIGURES = {"plain": 2e3, "bypass": 1e3, "relay": 5e2}


def long(seconds, **told):
    """A document whose samples tell each second. told: by system, if not all of them."""
    document = documents.document([documents.case("x", "x; y", FIGURES)], rounds=3)
    for sample in document["samples"]:
        if sample["system"] in told or not told:
            figure = FIGURES[sample["system"]]
            course = [figure + second + sample["round"] for second in range(seconds)]
            sample["each_second"] = course
    return document


def test_the_figures_of_all_rounds():
    (section,) = build(long(6)).sections
    plain, bypass, _ = section.timeline.courses
    assert plain.title == "plain TCP"
    assert len(bypass.seconds) == 6
    assert sorted(bypass.seconds[0]) == [1.001, 1.002, 1.003]  # thousands
    assert "sockproxy bypass: from 1.00 to 1.01" in section.timeline.about


def test_short_runs_are_not_drawn():
    assert build(long(4)).sections[0].timeline is None
    assert build(documents.document()).sections[0].timeline is None


def test_systems_that_do_not_tell_are_left_out():
    timeline = build(long(9, bypass=True)).sections[0].timeline
    assert [course.title for course in timeline.courses] == ["sockproxy bypass"]


def test_rounds_of_unequal_length():
    document = long(9)
    document["samples"][0]["each_second"].pop()
    lengths = [len(course.seconds) for course in build(document).sections[0].timeline.courses]
    assert sorted(lengths) == [8, 9, 9]


def test_nothing_moved_in_a_second():
    document = long(6)
    for sample in document["samples"]:
        sample["each_second"] = [0.0] * 6
    assert "second by second" in render(document)


def test_it_is_a_plot_of_its_own():
    without, drawn = (re.findall(r'<div class="card">', render(long(n))) for n in (4, 6))
    assert len(drawn) == len(without) + 1

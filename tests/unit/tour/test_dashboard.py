"""The panels of a dashboard, what they ask, and how their answers are told."""

from __future__ import annotations

import json
import math
from itertools import combinations
from pathlib import Path

import pytest

from tools.tour.chart import Series, draw, told, with_gaps
from tools.tour.dashboard import GRID, expression, height, legend, panels_of
from tools.tour.picture import check
from tools.tour.prometheus import Line, lines_of

DASHBOARD = Path(__file__).resolve().parents[3] / "docs/prometheus/dashboard.json"


def test_the_dashboard_fits_its_grid():
    panels = panels_of(DASHBOARD)
    assert panels
    assert all(0 <= each.x < each.x + each.width <= GRID for each in panels)
    assert height(panels) == max(each.y + each.height for each in panels)
    for one, other in combinations(panels, 2):
        beside = one.x + one.width <= other.x or other.x + other.width <= one.x
        above = one.y + one.height <= other.y or other.y + other.height <= one.y
        assert beside or above, (one.title, other.title)


def test_every_expression_of_the_dashboard_has_no_variable_left():
    for panel in panels_of(DASHBOARD):
        assert panel.targets
        for target in panel.targets:
            assert "$" not in expression(target.expression, "5s")


def test_a_row_is_no_panel(tmp_path):
    place = {"x": 0, "y": 0, "w": 24, "h": 1}
    graph = {"title": "b", "type": "timeseries", "gridPos": place | {"y": 1}, "targets": []}
    document = {"panels": [{"title": "a", "type": "row", "gridPos": place}, graph]}
    path = tmp_path / "dashboard.json"
    path.write_text(json.dumps(document))
    assert [each.title for each in panels_of(path)] == ["b"]


def test_variables_are_filled():
    assert expression('rate(a{i=~"$instance"}[$__rate_interval])', "5s") == 'rate(a{i=~".*"}[5s])'
    with pytest.raises(SystemExit, match="not known"):
        expression("a{b=$c}", "5s")


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("{{proxy}} {{way}}", "edge tcp"),
        ("{{ proxy }} at most", "edge at most"),
        ("{{reason}}", "-"),
        ("now", "now"),
        ("", 'up{proxy="edge", way="tcp"}'),
    ],
)
def test_a_legend(form, name):
    assert legend(form, {"__name__": "up", "proxy": "edge", "way": "tcp"}) == name


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "Bps", "0 B/s"),
        (0, "cps", "0/s"),
        (1432.4, "cps", "1.43k/s"),
        (30_720, "Bps", "30.7 kB/s"),
        (0.25, "cps", "0.25/s"),
        (0.004, "s", "4 ms"),
        (8, "short", "8"),
        (12, "unknown", "12 unknown"),
    ],
)
def test_numbers_are_told_with_their_unit(value, unit, text):
    assert told(value, unit) == text


def test_what_is_no_number_is_left_out():
    result = [
        {"metric": {"a": "b"}, "values": [[1, "NaN"], [2, "3.5"]]},
        {"metric": {}, "values": [[1, "NaN"]]},
    ]
    assert lines_of({"data": {"result": result}}) == [Line({"a": "b"}, [(2.0, 3.5)])]


def test_no_line_goes_across_a_gap():
    (first, gap, last) = with_gaps([(1.0, 5.0), (9.0, 6.0)])
    assert (first, last) == ((1.0, 5.0), (9.0, 6.0))
    assert math.isnan(gap[1])
    assert with_gaps([(1.0, 5.0), (2.0, 6.0)]) == [(1.0, 5.0), (2.0, 6.0)]


def test_the_dashboard_is_drawn_with_and_without_data(tmp_path):
    panels = panels_of(DASHBOARD)
    line = Line({}, [(float(when), float(when % 7)) for when in range(60)])

    def series(panel):
        return [Series(f"line {number}", line) for number in range(len(panel.title) % 9)]

    to = tmp_path / "dashboard.png"
    draw(panels, series, (0.0, 60.0), to)
    check(to)

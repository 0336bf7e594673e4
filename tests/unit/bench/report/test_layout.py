"""A page fits the screen and the paper that it is made for: by its SVG, and by its style."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from sockproxy.bench.report import html as page
from sockproxy.bench.report import panel, plots
from sockproxy.bench.report.parts import MOST_PRINTED
from tests.support import bench_document as documents
from tests.support.bench_report import KINDS

WIDER = 1.06  # a browser's own font beside DejaVu Sans
SPREAD = {"plain": 1e3, "bypass": 1.5e3, "relay": 2.1e2, "splice": 3e2, "haproxy": 1.9e2}


def texts(svg):
    """Left and right end of each text of an SVG."""
    for each in svg.iter("text"):
        style = dict(part.split(": ", 1) for part in each.get("style", "").split("; ") if part)
        font = style.get("font", "")
        size = float(re.search(r"([\d.]+)px", style.get("font-size", font))[1])
        width = panel._width("".join(each.itertext()), size, "bold" in font or "700" in font)
        anchor = style.get("text-anchor", "start")
        share = {"start": 0, "middle": 0.5, "end": 1}[anchor]
        moved = re.search(r"translate\(([-\d.]+)", each.get("transform", ""))
        left = float(each.get("x") or (moved[1] if moved else 0)) - share * width
        yield left, left + width, "".join(each.itertext())


@pytest.mark.parametrize(
    "document",
    [
        documents.document(),
        documents.document([documents.case("x", "x; y", SPREAD)]),
        documents.document([documents.case("x", "w" * 300, SPREAD)]),
        KINDS["many"](),
        KINDS["extreme"](),
    ],
    ids=["whole", "losses", "long", "many", "extreme"],
)
def test_no_label_is_cut(document):
    drawn = re.findall(r"<svg.*?</svg>", page.render(document), re.DOTALL)
    assert drawn
    for text in drawn:
        svg = ElementTree.fromstring(text)
        _, _, width, _ = map(float, svg.get("viewBox").split())
        found = list(texts(svg))
        assert found
        outside = [each for each in found if each[0] < -1 or each[1] > width * WIDER]
        assert not outside, width


@pytest.mark.parametrize("low", [0.2252, 0.2258, 0.3])
def test_a_label_at_the_end_of_an_axis_is_left_out(low):
    with plots.styled():
        figure, axes = panel.panel(1)
        panel.logarithmic(axes, low, 1.0, "\N{MULTIPLICATION SIGN}")
        svg = ElementTree.fromstring(panel.as_svg(figure, "x", ""))
    found = list(texts(svg))
    assert len(found) >= 3
    assert all(left >= 0 and right <= panel.WIDTH for left, right, _ in found), found


def test_columns_of_the_matrix_share_the_page():
    """A table of fixed layout is as wide as its room, whatever is in it."""
    text = page.render(KINDS["many"]())
    assert re.search(r"table\.glance \{ table-layout: fixed;", text)
    least = float(re.search(r"table\.glance \{[^}]*min-width: (\d+)rem", text)[1])
    assert least * 16 < 1400
    assert '<th scope="colgroup" colspan="11">other proxies</th>' in text


def test_what_takes_room_is_not_printed():
    text = page.render(documents.document())
    printed = text[text.index("@media print") : text.index("</style>")]
    hidden = re.search(r"([^}]*)\{ display: none; \}", printed)[1]
    assert {"details", ".cases figure", ".unprinted"} <= {
        each.strip() for each in hidden.split(",")
    }
    assert "@page { size: A4 landscape" in text
    assert 'class="cases"' in text


def test_a_long_result_prints_its_answers_alone():
    systems = ("plain", "bypass")
    cases = [
        documents.case(f"c{n}", f"case {n}; here", dict.fromkeys(systems, 1e3))
        for n in range(MOST_PRINTED // (len(systems) + 4) + 1)
    ]
    text = page.render(documents.document(cases, rounds=1))
    assert 'class="cases unprinted"' in text
    assert "too many lines to be printed" in text

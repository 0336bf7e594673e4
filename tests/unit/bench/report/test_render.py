"""A report is whole, safe and complete, as a page and as Markdown."""

from __future__ import annotations

import copy
import re
from xml.etree import ElementTree

import pytest

from sockproxy.bench.report import html as page
from sockproxy.bench.report import markdown
from tests.support import bench_document as documents
from tests.support.bench_report import KINDS, TROUBLE, Page, hostile, rows


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def document(request):
    return request.param()


def test_page_is_well_formed_and_fetches_nothing(document):
    before = copy.deepcopy(document)
    text = page.render(document)
    found = Page(text)
    assert document == before
    assert text.startswith("<!DOCTYPE html>")
    assert (found.fetched, found.scripts, found.scopeless, found.unlabelled) == ([], 0, 0, 0)
    assert len(set(found.ids)) == len(found.ids)
    assert {link.removeprefix("#") for link in found.links} <= set(found.ids)
    assert "None" not in found.text
    assert not re.search(r"\bnan\b", found.text)


def test_plots_are_xml(document):
    drawn = re.findall(r"<svg.*?</svg>", page.render(document), re.DOTALL)
    measured = {each["case"] for each in document["samples"]}
    assert len(drawn) >= len(measured)
    for svg in drawn:
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        assert root.get("viewBox")
        assert list(root.iter("text")), "texts are texts, which can be read aloud and searched"


def test_markdown_tables_have_equal_columns(document):
    for table in rows(markdown.render(document)):
        assert len({len(row) for row in table}) == 1
        assert {cell.strip() for cell in table[1]} == {"---"}


@pytest.mark.parametrize("render", [page.render, markdown.render])
def test_all_that_matters_is_there(render):
    document = documents.document(**TROUBLE)
    text = render(document)
    text = Page(text).text if render is page.render else text.replace("\\", "")
    told = [
        *(title for title, *_ in documents.SYSTEMS.values()),
        *(case["title"] for case in document["cases"]),
        *(entry["why"] for entry in (*TROUBLE["failures"], *TROUBLE["skipped"])),
        *TROUBLE["warnings"], "2 failed: Envoy in case 2; HAProxy in case 3",
        "better", "worse", "no difference", "too few rounds",
        "98\N{NO-BREAK SPACE}% bypassed", "93\N{NO-BREAK SPACE}% redirected in kernel",
        "7\N{NO-BREAK SPACE}% pumped", "100\N{NO-BREAK SPACE}% TCP",
        "HAProxy version 2.6.12", "haproxy -db -f $config", "Linux 6.18.4", "AMD EPYC 9R14",
        "sockproxy bench run quick --seed 4711 --rounds 8 --seconds 1", "net/ipv4/tcp_rmem",
        "as many bytes received as sent, in 48 of 48 runs", "2 rounds only",
    ]  # fmt: skip
    text = " ".join(text.replace("&lt;", "<").split())
    assert [each for each in told if " ".join(each.split()) not in text] == []


def test_markup_is_shown_and_not_obeyed():
    text = page.render(hostile())
    assert "<script>alert" not in text
    assert "<script>alert(1)</script>" in Page(text).text
    assert "{{ 7 * 7 }}" in Page(text).text
    text = markdown.render(hostile())
    # In a block of code it may stand as it is.
    outside = re.sub(r"^```.*?^```|(`+)[^`].*?\1", "", text, flags=re.DOTALL | re.MULTILINE)
    assert "<script>" not in outside
    assert not re.search(r"(?<!\\)\*y\*", outside)

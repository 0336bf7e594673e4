"""`sockproxy bench report`: the page is whole, safe and complete, and so is its Markdown."""

from __future__ import annotations

import copy
import html.parser
import json
import re
import sys
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from sockproxy.bench.report import html as page
from sockproxy.bench.report import markdown
from sockproxy.bench.report.view import build
from sockproxy.cli.bench.report import report
from sockproxy.errors import SockproxyError, Unsupported, UsageError
from tests.support import bench_document as documents

VOID = {"meta", "br", "hr", "img", "input", "link"}
FETCHED = {"src", "srcset", "data", "poster", "action", "background"}
HOSTILE = "<script>alert(1)</script> \"'& `x` *y* | _z_ $a$ ]]> \x00\n# {{ 7 * 7 }}"
MANY = {f"peer{n}": (f"peer number {n}", ["peer", f"{n}"], "1", {"proxy": 1.0}) for n in range(11)}
TROUBLE = {
    "failures": [
        {"case": "netperf-tcp_rr", "system": "envoy", "round": 3, "why": "the client hung"},
        {"case": "netperf-tcp_crr", "system": "haproxy", "round": 0, "why": "it did not start"},
    ],
    "skipped": [
        {"case": "redis-get", "system": "splice", "why": "no python"},
        {"case": "redis-get", "system": "", "why": "no redis-server"},
    ],
    "warnings": ["31% of the CPUs were busy"],
}


class Page(html.parser.HTMLParser):
    """A page whose tags all close, with what it would fetch, its ids, links and tables."""

    def __init__(self, text):
        super().__init__()
        self.open, self.fetched, self.ids, self.links = [], [], [], []
        self.scripts, self.scopeless, self.unlabelled, self.words = 0, 0, 0, []
        self.feed(text)
        self.close()
        assert not self.open
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        self.fetched += [found[key] for key in FETCHED & found.keys()]
        self.links += [value for key, value in attrs if key.endswith("href")]
        self.links += re.findall(
            r"url\(([^)]*)\)", " ".join(value or "" for value in found.values())
        )
        self.scripts += tag in ("script", "link", "iframe", "object", "embed", "base")
        self.scripts += any(key.startswith("on") for key in found)
        self.scopeless += tag == "th" and "scope" not in found
        self.unlabelled += tag == "svg" and not found.get("aria-label")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            assert "url(" not in data
            assert "@import" not in data
        else:
            self.words.append(data)


def hostile():
    """A document whose texts are all markup."""
    document = documents.document(
        [documents.case("x", HOSTILE, {"plain": 1e3, "evil": 2e3, "gone": 1e3})],
        systems={
            "evil": (HOSTILE, ["a b", HOSTILE], HOSTILE, {HOSTILE: 1.0}),
            "gone": (HOSTILE, None, None, {"tcp": 1.0}),
        },
        failures=[{"case": "x", "system": "gone", "round": 0, "why": HOSTILE}],
        skipped=[{"case": "x", "system": HOSTILE, "why": HOSTILE}],
        warnings=[HOSTILE],
        against=("plain", "evil"),
    )
    document["scenario"] |= {"title": HOSTILE, "name": HOSTILE}
    document["machine"] |= {"cpu": HOSTILE, "kernel": HOSTILE, "knobs": {HOSTILE: HOSTILE}}
    document["machine"]["versions"] = {HOSTILE: HOSTILE}
    document["systems"][1] |= {"why_not": HOSTILE, "config": HOSTILE, "about": HOSTILE}
    document["cases"][0] |= {"topology": HOSTILE, "placement": HOSTILE}
    return document


def bare():
    """A document in which nothing is that need not be."""
    document = documents.document(documents.CASES[1:2], rounds=6)
    for system in document["systems"]:
        del system["about"], system["config"]
    del document["machine"]["sysctls"], document["machine"]["versions"]
    del document["scenario"]["seconds"]
    document["machine"] |= {"cpu": None, "cpus": None, "virtual": False}
    document["began"] = "yesterday"
    for sample in document["samples"]:
        sample |= {"carried": {}, "checks": [], "values": {"per_s": sample["values"]["per_s"]}}
    document["summary"] = [each for each in document["summary"] if each["metric"] == "per_s"]
    return document


def extreme():
    """Figures that no axis holds."""
    document = documents.document(
        [documents.case("x", "x; y", {"plain": 1e-9, "bypass": 1e12, "relay": 1.0})]
    )
    for entry in document["summary"]:
        for ratio in entry["ratios"].values():
            ratio |= {"low": 0.0, "high": 1e304}
        if entry["system"] == "relay":
            entry |= {"median": 0.0, "least": 0.0, "most": 0.0}
    return document


KINDS = {
    "whole": lambda: documents.document(**TROUBLE),
    "empty": documents.empty,
    "empty, with a case": lambda: documents.document(rounds=0),
    "no systems": lambda: documents.document([documents.case("x", "x", {})]),
    "one round": lambda: documents.document(rounds=1),
    "one system": lambda: documents.document([documents.case("x", "x", {"plain": 1e3})]),
    "no baseline": lambda: documents.document(against=()),
    "no baseline here": lambda: documents.document([documents.case("x", "x", {"relay": 1e3})]),
    "many": lambda: documents.document(
        [documents.case("x", "long title " * 60, {"plain": 1e3} | dict.fromkeys(MANY, 2e3))],
        systems=MANY, against=("plain", "peer1", "peer2"),
    ),
    "long words": lambda: documents.document([documents.case("x", "w" * 3000, {"plain": 1e3})]),
    "equal": lambda: documents.document(noise_share=0.0),
    "hostile": hostile,
    "bare": bare,
    "extreme": extreme,
}  # fmt: skip


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def document(request):
    return request.param()


@pytest.fixture
def kept(tmp_path):
    """A result's file."""
    path = tmp_path / "quick.json"
    path.write_text(json.dumps(documents.document(**TROUBLE)))
    return path


def without(monkeypatch, name):
    """As if this package and all of it were not installed."""
    for module in [each for each in sys.modules if each.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)


def invoke(*arguments):
    """The command's stdout and its code; what it raises on purpose is raised."""
    done = CliRunner().invoke(report, [str(each) for each in arguments], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.stdout


def rows(text):
    """The cells of Markdown's tables, table by table."""
    tables, table = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("| "):
            # A stroke that is escaped is text.
            table.append(re.split(r"(?<!\\)\|", line)[1:-1])
        elif table:
            tables.append(table)
            table = []
    return tables


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


@pytest.mark.parametrize("name", ["matplotlib", "jinja2"])
def test_without_the_extra(monkeypatch, name, kept):
    without(monkeypatch, name)
    with pytest.raises(Unsupported, match=r"draw the report; pip install 'sockproxy\[report\]'"):
        invoke(kept)
    assert [path.name for path in kept.parent.iterdir()] == ["quick.json"]
    invoke(kept, "--markdown", kept.with_suffix(".md"))
    assert "# Does it help?" in kept.with_suffix(".md").read_text()


def test_command_writes_beside_the_result(kept):
    path = kept.with_suffix(".html")
    path.write_text("an older one")
    assert invoke(kept).strip() == str(path)
    Page(path.read_text())
    assert {each.name for each in kept.parent.iterdir()} == {"quick.json", "quick.html"}


def test_command_takes_the_newest_result(monkeypatch, kept):
    folder = kept.parent / "sockproxy" / "bench"
    folder.mkdir(parents=True)
    kept.rename(folder / kept.name)
    monkeypatch.setenv("XDG_STATE_HOME", str(kept.parent))
    assert invoke().strip() == str(folder / "quick.html")


def test_command_prints(kept):
    assert invoke(kept, "--output", "-").startswith("<!DOCTYPE html>")
    assert invoke(kept, "--markdown", "-").startswith("# Does it help?")
    made = json.loads(invoke(kept, "--json", "--markdown", kept.with_suffix(".md")))
    assert (made["kind"], made["markdown"]) == ("bench-report", str(kept.with_suffix(".md")))
    assert "html" not in made


def test_command_does_both(kept):
    html_path, markdown_path = kept.with_name("a.html"), kept.with_name("b.md")
    lines = invoke(kept, "--output", html_path, "--markdown", markdown_path).split()
    assert lines == [str(html_path), str(markdown_path)]
    assert html_path.exists()
    assert markdown_path.exists()


@pytest.mark.parametrize(
    "options",
    [("--output", "-", "--markdown", "-"), ("--json", "--output", "-"), ("--markdown", "SAME")],
    ids=" ".join,
)
def test_command_refuses_what_would_collide(kept, options):
    with pytest.raises(UsageError):
        invoke(kept, *(str(kept) if each == "SAME" else each for each in options))
    json.loads(kept.read_text())


def test_command_refuses_what_is_no_result(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        invoke(tmp_path / "none.json")
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(UsageError, match="is no result"):
        invoke(tmp_path / "x.json")


def test_command_tells_of_places_that_cannot_be_written(kept):
    with pytest.raises(SockproxyError, match=r"write .*: File exists .*; give another"):
        invoke(kept, "--output", kept / "x.html")
    with pytest.raises(SockproxyError, match="No space left on device") as failed:
        invoke(kept, "--output", "/dev/full")
    assert failed.value.exit_code == 1


def test_command_keeps_devices_and_links(kept):
    link, target = kept.with_name("link.html"), kept.with_name("target.html")
    target.write_text("")
    link.symlink_to(target)
    invoke(kept, "--output", link)
    assert link.is_symlink()
    Page(target.read_text())
    invoke(kept, "--output", "/dev/null")
    with open("/dev/null") as device:
        assert not device.read()

"""Documents that a report must cope with, and a page or Markdown taken apart."""

from __future__ import annotations

import html.parser
import re

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
        systems=MANY,
        against=("plain", "peer1", "peer2"),
    ),
    "long words": lambda: documents.document([documents.case("x", "w" * 3000, {"plain": 1e3})]),
    "equal": lambda: documents.document(noise_share=0.0),
    "hostile": hostile,
    "bare": bare,
    "extreme": extreme,
}


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

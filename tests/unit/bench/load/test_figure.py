"""Where a figure is in what a client prints, and what is told when it is not there."""

from __future__ import annotations

import sys

import pytest

from sockproxy.bench.load.figure import read_finder
from sockproxy.errors import SockproxyError, Unsupported, UsageError

PRINTED = "rate: 12.5 of 13\nrates: 1e3\n"
JSON = '{"end": {"rate": 12.5, "text": "7", "none": null, "yes": true}, "all": [1, 2]}'


@pytest.mark.parametrize(
    ("text", "printed", "figure"),
    [
        ("rate: ([0-9.]+)", PRINTED, 12.5),
        ("^rates: (.*)$", PRINTED, 1000),
        ("(?:rate|speed): (?P<figure>[0-9.]+)", PRINTED, 12.5),
        ("$.end.rate", JSON, 12.5),
        ("$", "7", 7),
        ("$.end.text", JSON, 7),
        ("$.all[1]", JSON, 2),
        ("$.all[?@ > 1]", JSON, 2),
    ],
)
def test_found(text, printed, figure):
    assert read_finder(text).find(printed) == figure


@pytest.mark.parametrize(
    ("text", "printed", "words"),
    [
        ("rate; (.*)", PRINTED, "matches nothing"),
        ("rate: ([0-9.]+)", "", "matches nothing"),
        ("([0-9.]+)", PRINTED, "matches 4 times ('12.5', '13')"),
        ("(rate):", PRINTED, "'rate' is not a number"),
        ("rate: ()", PRINTED, "'' is not a number"),
        ("rate:(;)?", PRINTED, "'' is not a number"),
        ("of (.*)", "of 0", "not above zero"),
        ("of (.*)", "of -3", "below zero"),
        ("of (.*)", "of inf", "has no end"),
        ("of (.*)", "of nan", "has no end"),
        ("of (.*)", "of \x1b[31m", r"\x1b"),
        ("$.end.speed", JSON, "matches nothing"),
        ("$.all[*]", JSON, "matches 2 times (1, 2)"),
        ("$.all", JSON, "[1, 2] is not a number"),
        ("$.end.none", JSON, "None is not a number"),
        ("$.end.yes", JSON, "True is not a number"),
        ("$.end.rate", JSON[:20], "no JSON, or is cut off"),
        ("$.end.rate", "[" * 100_000, "no JSON, or is cut off"),
    ],
)
def test_not_found(text, printed, words):
    with pytest.raises(SockproxyError) as failed:
        read_finder(text).find(printed)
    assert words in str(failed.value)
    assert str(failed.value).isprintable()


def test_all_of_them():
    assert read_finder("rates?: ([0-9e.]+)").find_all(PRINTED) == (12.5, 1000)
    assert read_finder("$.all[*]").find_all(JSON) == (1, 2)
    assert read_finder("of (.*)").find_all("of 0") == (0,)
    for text, words in (("of (.*)", "matches nothing"), ("(n)", "'n' is not a number")):
        with pytest.raises(SockproxyError, match=words):
            read_finder(text).find_all("none")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rate", "has no group"),
        ("(?:rate)", "has no group"),
        ("(r)(a)", "has 2 groups"),
        ("(rate", "unterminated"),
        ("", "has no group"),
        ("$.a[", "JSONPath"),
        ("$(a)", "JSONPath"),
    ],
)
def test_no_finder(text, words):
    with pytest.raises(UsageError) as failed:
        read_finder(text)
    assert words in str(failed.value)
    assert "\n" not in str(failed.value)


def test_without_the_library_for_paths(monkeypatch):
    monkeypatch.setitem(sys.modules, "jsonpath", None)
    with pytest.raises(Unsupported, match=r"pip install 'sockproxy\[bench\]'"):
        read_finder("$.a")
    assert read_finder("a(.)").find("a1") == 1

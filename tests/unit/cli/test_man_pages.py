"""Man pages: one for each command, in which roff loses nothing."""

from __future__ import annotations

import re

import click
import pytest

from sockproxy.cli.main import cli
from tools import man_pages

MACRO = re.compile(r"\.(TH|SH|TP|PP|nf|fi)\b")
PAGES = {
    man_pages.title(each): man_pages.page(each)
    for each in man_pages.contexts(click.Context(cli, info_name="sockproxy"))
}


def test_each_command_has_one():
    assert {"sockproxy", "sockproxy-proxy", "sockproxy-bench-run"} <= PAGES.keys()
    assert {f"sockproxy-{each}" for each in cli.list_commands(click.Context(cli))} < PAGES.keys()


@pytest.mark.parametrize("name", PAGES)
def test_no_line_of_text_is_taken_for_a_request(name):
    page = PAGES[name]
    requests = [line for line in page.splitlines() if line.startswith((".", "'"))]
    assert all(MACRO.match(line) for line in requests), requests
    assert page.count(".nf\n") == page.count(".fi\n")


def test_what_roff_would_change():
    assert man_pages.escaped(".TH") == r"\&.TH"
    assert man_pages.escaped("'sockproxy status'") == r"\(aqsockproxy status\(aq"
    assert man_pages.escaped(r"--a \b") == r"\-\-a \eb"


def test_examples_keep_their_lines():
    page = PAGES["sockproxy-doctor"]
    (found,) = re.findall(r"^\.SH EXAMPLES\n\.nf\n(.*?)^\.fi$", page, re.M | re.S)
    assert found.splitlines()[-1] == r"  sockproxy doctor \-\-explain FIONREAD"

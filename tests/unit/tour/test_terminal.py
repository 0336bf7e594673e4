"""What a terminal shows, as text and as HTML."""

from __future__ import annotations

import pyte
import pytest

from tools.tour import terminal


def shown(text, columns=40, rows=6):
    screen = pyte.Screen(columns, rows)
    pyte.Stream(screen).feed(text)
    return terminal.Shown("show", terminal.lines_of(screen), 0)


def test_empty_lines_at_the_end_are_left_out():
    assert shown("one\r\n\r\ntwo   \r\n\r\n").text == "one\n\ntwo"


def test_what_was_written_over_is_gone():
    assert shown("\x1b[2J\x1b[1;1Hwrong\x1b[1;1Hright").text == "right"


def test_colours_are_kept():
    (line,) = shown("\x1b[33mslow\x1b[0m \x1b[1;92mfast\x1b[0m \x1b[38;2;1;2;3mown").lines
    styles = {each.start: str(each.style) for each in line.spans}
    slow, fast, own = (styles[line.plain.index(word)] for word in ("slow", "fast", "own"))
    assert "yellow" in slow
    assert "not bold" in slow
    assert fast.startswith("bold")
    assert "bright_green" in fast
    assert "#010203" in own


def test_a_page_has_prompt_and_text_and_nothing_that_is_obeyed():
    html = terminal.as_html([shown("a <b> & c"), shown("second")])
    assert html.count("# show") == 2
    assert "a &lt;b&gt; &amp; c" in html
    assert "second" in html


def test_a_long_prompt_is_broken_at_its_pipes():
    long = terminal.Shown(f"{'a' * 30} | b", shown("x").lines, 0)
    assert "    | b" in terminal.as_html([long], columns=30)
    assert "    | b" not in terminal.as_html([long], columns=40)


def test_a_command_runs_in_a_terminal():
    found = terminal.run("test -t 1 && stty size; exit 3", rows=11, columns=50)
    assert (found.text, found.status) == ("11 50", 3)
    assert terminal.as_text(found) == "# test -t 1 && stty size; exit 3\n11 50"


def test_one_that_goes_on_is_looked_at_and_then_quit():
    found = terminal.run("echo here; read -n 1 key; echo $key; test $key = q", quit_after=0.5)
    assert (found.text, found.status) == ("here", 0)


@pytest.mark.parametrize("text", ["", "\r\n \r\n"])
def test_nothing_is_no_line(text):
    assert shown(text).lines == []

"""Text of others on our terminal."""

from __future__ import annotations

import pytest

from sockproxy.text import clean, shortened


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, even äöü and 漢字", "plain, even äöü and 漢字"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("two\nlines\t", r"two\x0alines\x09"),
        ("\x9b31m", r"\x9b31m"),
        ("a\u202eb\u2028", r"a\u202eb\u2028"),
        (b"\xff".decode("utf-8", "surrogateescape"), r"\xff"),
        ("\ud800", r"\ud800"),
        ("", ""),
    ],
)
def test_it_is_only_shown(text, shown):
    assert clean(text) == shown
    clean(text).encode()


def test_shortened():
    assert shortened("abc", 3) == "abc"
    assert shortened("abcd", 3) == "abc..."

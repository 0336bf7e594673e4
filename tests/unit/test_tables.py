"""Checked TOML tables: what is taken, and that an error names file, line, table and key."""

from __future__ import annotations

import pytest

from sockproxy.errors import UsageError
from sockproxy.tables import read_table

KNOWN = {"title", "argv", "on", "count", "size", "word", "case"}
CASE = {"tool", "size"}
FILE = '''\
# title = "a comment"
title = "x"
argv = [
    "a",
    "count = 3",
]
word = """
count = 7
"""
count = 5

[[case]]
tool = "a"
size = "64"

[[case]]  # the second
tool = "b"
size = [1, "1KiB"]
'''


@pytest.fixture
def read(tmp_path):
    """Reads a text as a file of tables."""

    def do(text):
        path = tmp_path / "x.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_table(path, KNOWN)

    return do


def why(call, *arguments):
    """The error's text, without the folder of the file; it is one line."""
    with pytest.raises(UsageError) as raised:
        call(*arguments)
    told = str(raised.value)
    assert "\n" not in told
    assert raised.value.exit_code == 2
    return told[told.index("x.toml") :]


def test_what_is_taken(read):
    table = read(FILE)
    assert table.text("title") == "x"
    assert table.text("nothing", "else") == "else"
    assert table.texts("argv") == ["a", "count = 3"]
    assert table.number("count", None, 1, 9) == 5
    assert table.number("nothing", 3, 1, 9) == 3
    assert table.numbers("count", [1], 1, 9) == [5]
    assert table.flag("on") is False
    assert (table.has("title"), table.has("on")) == (True, False)
    first, second = table.tables("case", CASE)
    assert first.word("tool", ["a", "b"]) == "a"
    assert first.words("size") == ["64"]
    assert second.words("size") == ["1", "1KiB"]
    assert second.sizes("size", ["1"], 1, 4096) == [1, 1024]
    assert second.sizes("nothing", ["2"], 1, 4096) == [2]


def test_an_error_has_the_line_of_its_key(read):
    table = read(FILE)
    assert why(table.number, "count", None, 6, 9) == (
        "x.toml:10: count: must be a whole number from 6 to 9"
    )
    assert why(table.flag, "title") == "x.toml:2: title: must be true or false"
    assert why(table.text, "argv") == "x.toml:3: argv: must be a text"
    first, second = table.tables("case", CASE)
    assert why(first.word, "tool", ["b", "c"]) == "x.toml:13: case 1: tool: 'a' is none of b, c"
    assert why(second.sizes, "size", ["1"], 2, 1024) == (
        "x.toml:18: case 2: size: must be from 2 B to 1 KiB"
    )


def test_an_error_without_a_key_of_its_own_has_the_line_of_its_table(read):
    table = read(FILE)
    assert why(table.text, "on") == "x.toml: on: missing"
    _, second = table.tables("case", CASE)
    assert why(second.text, "none") == "x.toml:16: case 2: none: missing"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("title = 1\nturns = 2", "x.toml:2: turns: unknown; known are argv, case, "),
        ("[[case]]\nsize = 1\nturn = 2", "x.toml:3: case 1: turn: unknown; known are size, tool"),
        ("case = 1", "x.toml:1: case: must be tables: [[case]]"),
        ("case = [1]", "x.toml: case 1: must be a table"),
        ("[case]\ntool = 'x'", "x.toml:1: case: must be tables: [[case]]"),
    ],
)
def test_keys_and_tables_that_are_wrong(read, text, told):
    assert why(lambda: read(text).tables("case", CASE)).startswith(told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("title = ", "x.toml:1: Invalid value"),
        ("title = 1\n[x\ncount = 2", "x.toml:2: "),
        (b"title = 1\ncount = '\xff'", "x.toml:2: is no UTF-8"),
        ("a = " + "[" * 100_000, "x.toml: "),
        ("#" * (4 << 20) + "#", "x.toml: is too large for a TOML file"),
    ],
)
def test_files_that_are_no_toml(read, text, told):
    assert why(read, text).startswith(told)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match=r"read .*none\.toml: No such file"):
        read_table(tmp_path / "none.toml", KNOWN)
    with pytest.raises(UsageError, match="Is a directory"):
        read_table(tmp_path, KNOWN)


@pytest.mark.parametrize(
    ("entry", "take", "told"),
    [
        ("argv = []", "texts", "must be a list of texts"),
        ("argv = 'a b'", "texts", "must be a list of texts"),
        ("argv = [['a']]", "texts", "must be a list of texts"),
        ("argv = []", "words", "must be a text or a list of texts"),
        ("argv = [true]", "words", "must be a text or a list of texts"),
        ("argv = 1.5", "words", "must be a text or a list of texts"),
        ("argv = [1, '1']", "words", "has something twice"),
    ],
)
def test_lists_that_are_wrong(read, entry, take, told):
    assert why(getattr(read(entry), take), "argv") == f"x.toml:1: argv: {told}"


@pytest.mark.parametrize("text", ["true", "1.0", "'1'", "0", "10"])
def test_numbers_that_are_wrong(read, text):
    table = read(f"count = {text}")
    told = "x.toml:1: count: must be a whole number from 1 to 9"
    assert why(table.number, "count", None, 1, 9) == told
    assert why(table.numbers, "count", [1], 1, 9) == told


def test_sizes_that_are_wrong(read):
    assert why(read("size = 'big'").sizes, "size", ["1"], 1, 2).startswith(
        "x.toml:1: size: size 'big'; write bytes"
    )
    assert why(read("size = 0").sizes, "size", ["1"], 1, 1 << 30) == (
        "x.toml:1: size: must be from 1 byte to 1 GiB"
    )

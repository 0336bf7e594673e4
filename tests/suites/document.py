"""docs/suites.md, made from the recorded results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.suites.record import Record, why_failed
from tests.suites.table import CHECKOUT
from tests.suites.words import HEAD, row, rows, unlike
from vagrant.matrix.words import markdown_table

__all__ = ["DOCUMENT", "page"]

DOCUMENT = CHECKOUT / "docs" / "suites.md"
INTRODUCTION = """\
<!-- Made by `python -m tests.suites document` from tests/suites/results; do not edit. -->

# Other projects' test suites, plain and bypassed

A bypass must not change what a program sees. `make suites` runs the suites of programs that live
by sockets twice, part by part: plain, and with `sockproxy attach` around them, and compares the
outcome of each test. A part runs in a cgroup and a network namespace of its own, in an environment
that is the same everywhere. Where a test differs the part is run again, both ways:

| judgement | it means |
|---|---|
| differs | it did again what plain it never did, or does always what plain it does seldom |
| not again | bypassed it did once what plain it never did, and no more |
| unsteady | plain it does both as well |

`make suites` fails but for what is unsteady, and where nothing was bypassed: what was seen once is
no proof, but `--again 20` may show that plain TCP does it too. Tests that fail plain,
because they run as root, without a network or on this kernel, have to fail bypassed too. *paired*
(connections), *past TCP* and *by TCP* (messages) are the bypass's own counters: where nothing went
past TCP, all that is shown is that programs which are left on it are left in peace.
CPython's tests are of Debian's package for its Python; the others are built from Debian's sources.
"""


def page(records: Sequence[Record]) -> str:
    """The whole page of these records, as Markdown."""
    lines = [INTRODUCTION]
    for record in records:
        lines += [f"## Linux {record['release']}", "", *_run(record), ""]
    if not records:
        lines += ["No result is recorded.", ""]
    return "\n".join(lines)


def _run(record: Record) -> Iterator[str]:
    why = why_failed(record)
    result = "; ".join(why) if why else "the same outcome test by test"
    yield f"{record['distribution']}, {record['date'][:10]}: **{result}**."
    yield f"Where a test differed, the part was run {record['again']} more times each way."
    for mode in record["modes"]:
        name, options = mode["name"], " ".join(mode["options"])
        yield from ["", f"### {name}", ""]
        yield (
            f"`sockproxy attach` with `{options}`."
            if options
            else "`sockproxy attach` as it is by default."
        )
        if not mode["counts"]:
            yield "A difference does not count here: it is for information."
        yield ""
        yield from markdown_table(HEAD, rows(record, name))
        if told := list(unlike(record, name)):
            yield from ["", *(f"- {each}" for each in told)]
        yield from ["", "Part by part:", ""]
        parts = [
            row(f"{suite['name']}/{part['name']}", [part], name)
            for suite in record["suites"]
            for part in suite["parts"]
        ]
        yield from markdown_table(HEAD, parts)
    yield from _left_out(record)
    yield from _failed(record)


def _left_out(record: Record) -> Iterator[str]:
    found = [
        (pattern, why) for suite in record["suites"] for pattern, why in suite["left_out"].items()
    ]
    if found:
        yield from ["", "Left out:", "", *(f"- `{pattern}`: {why}" for pattern, why in found)]


def _failed(record: Record) -> Iterator[str]:
    found = [
        f"- {suite['name']}/{part['name']}: {test}"
        for suite in record["suites"]
        for part in suite["parts"]
        for test in part["failed"]
    ]
    if found:
        yield from ["", "Failed plain:", "", *found]

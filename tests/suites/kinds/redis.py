"""Redis's suite in Tcl: `./runtest --single FILE`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.suites.kinds.base import (
    ABORTED,
    FAILED,
    PASSED,
    SKIPPED,
    THE_RUN,
    Outcomes,
    numbered,
    run,
)

__all__ = ["Redis"]

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
LINE = re.compile(r"\[(ok|err|skip|ignore)\]: (.*)")
ENDED = re.compile(r"^ *The End$", re.M)
OUTCOMES = {"ok": PASSED, "err": FAILED, "skip": SKIPPED, "ignore": SKIPPED}
# What stands behind a test's name: its milliseconds, its file, why it was left out.
BEHIND = {"ok": r" \(\d+ ms\)$", "err": r" in tests/.*", "skip": r"$", "ignore": r": [^:]*$"}


class Redis:
    """A part is a file below tests/."""

    def version(self) -> str:
        return ""

    def build(self, tree: Path) -> Sequence[Sequence[str]]:
        return [["make", "-j2", "MALLOC=libc"]]

    def parts(self, tree: Path | None) -> list[str]:
        return run(["./runtest", "--list-tests"], tree).split()

    def argv(self, part: str, left_out: Mapping[str, str]) -> list[str]:
        skipped = [word for each in left_out for word in ("--skiptest", each)]
        return ["./runtest", "--clients", "1", *skipped, "--single", part]

    def outcomes(self, folder: Path, output: str) -> Outcomes:
        plain = COLOUR.sub("", output)
        found = numbered(_tests(plain))
        if not ENDED.search(plain):  # an exception, or its time was up
            found[THE_RUN] = ABORTED
        return found


def _tests(output: str) -> Iterator[tuple[str, str]]:
    for line in output.splitlines():
        if told := LINE.fullmatch(line):
            word, text = told.groups()
            yield re.sub(BEHIND[word], "", text), OUTCOMES[word]

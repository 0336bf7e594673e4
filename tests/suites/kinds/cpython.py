"""CPython's own tests, of the system's Python: `python3 -m test`."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.suites.errors import SuiteError
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

__all__ = ["CPython"]

PYTHON = Path("/usr/bin/python3")
TEST_TIME = 120  # seconds after which a test that hangs ends the run, with a traceback
REPORT = "report.xml"
TESTS = re.compile(r"test_\w+")
# How JUnit's report tells that a test has not passed.
CHILDREN = {"failure": FAILED, "error": FAILED, "skipped": SKIPPED}


class CPython:
    """A part is a file, or a package, of Lib/test."""

    def version(self) -> str:
        """Raises SuiteError where the tests are not installed."""
        package = f"lib{PYTHON.resolve().name}-testsuite"
        asked = ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package]
        status, _, version = run(asked).partition(" ")
        if status != "installed":
            raise SuiteError(f"{package} is not installed", "tools/setup-debian suites")
        return version

    def build(self, tree: Path) -> Sequence[Sequence[str]]:
        return []

    def parts(self, tree: Path | None) -> list[str]:
        told = run([str(PYTHON), "-m", "test", "--list-tests"])
        return [each for each in told.split() if TESTS.fullmatch(each)]

    def argv(self, part: str, left_out: Mapping[str, str]) -> list[str]:
        ignored = [word for each in left_out for word in ("--ignore", each)]
        report = ["--junit-xml", REPORT, "--timeout", str(TEST_TIME)]
        return [str(PYTHON), "-m", "test", "--verbose", *report, *ignored, part]

    def outcomes(self, folder: Path, output: str) -> Outcomes:
        try:
            root = ElementTree.parse(folder / REPORT).getroot()
        except (OSError, ElementTree.ParseError):  # written at the end, and at once
            return {THE_RUN: ABORTED}
        return numbered(_cases(root))


def _cases(root: ElementTree.Element) -> Iterator[tuple[str, str]]:
    for case in root.iter("testcase"):
        found = {CHILDREN[each.tag] for each in case if each.tag in CHILDREN}
        outcome = FAILED if FAILED in found else next(iter(found), PASSED)
        yield case.get("name", ""), outcome

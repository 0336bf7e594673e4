"""libuv's runner, `uv_run_tests`, which reports by TAP."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.suites.errors import SuiteError
from tests.suites.kinds.base import ABORTED, FAILED, PASSED, SKIPPED, THE_RUN, Outcomes, numbered

__all__ = ["Libuv"]

ALL = "all"
BUILD = "build-suites"
PLAN = re.compile(r"^1\.\.(\d+)$", re.M)
LINE = re.compile(r"^(not )?ok \d+ - (\S+)( # SKIP\b.*)?$", re.M)


class Libuv:
    """There is one part: the runner gives each test processes of its own."""

    def version(self) -> str:
        return ""

    def build(self, tree: Path) -> Sequence[Sequence[str]]:
        return [
            ["cmake", "-S", ".", "-B", BUILD, "-DLIBUV_BUILD_TESTS=ON"],
            ["cmake", "--build", BUILD, "--parallel", "2", "--target", "uv_run_tests"],
        ]

    def parts(self, tree: Path | None) -> list[str]:
        return [ALL]

    def argv(self, part: str, left_out: Mapping[str, str]) -> list[str]:
        if left_out:
            raise SuiteError("libuv's runner leaves no test out", "take left_out from the table")
        # It finds its files from where it runs, and is no friend of root.
        return ["env", "UV_RUN_AS_ROOT=1", f"{BUILD}/uv_run_tests"]

    def outcomes(self, folder: Path, output: str) -> Outcomes:
        found = numbered(_tests(output))
        planned = PLAN.search(output)
        if planned is None or int(planned[1]) != len(found):
            found[THE_RUN] = ABORTED
        return found


def _tests(output: str) -> Iterator[tuple[str, str]]:
    for failed, name, skipped in LINE.findall(output):
        yield name, FAILED if failed else SKIPPED if skipped else PASSED

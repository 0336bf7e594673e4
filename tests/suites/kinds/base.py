"""What every suite has: parts that are run by a command, and a report of its tests."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

__all__ = [
    "ABORTED",
    "FAILED",
    "PASSED",
    "SKIPPED",
    "THE_RUN",
    "Kind",
    "Outcomes",
    "numbered",
    "run",
]

Outcomes = dict[str, str]
"""By a test's name, PASSED, FAILED, SKIPPED or ABORTED."""

PASSED, FAILED, SKIPPED, ABORTED = "passed", "failed", "skipped", "aborted"
THE_RUN = "(the run)"
"""The name under which a run is ABORTED that ended before its tests did."""


class Kind(Protocol):
    """A kind of suite. Folders and trees are absolute."""

    def version(self) -> str:
        """The version of what is installed; "" for a suite that is built from a source: its version
        is known."""

    def build(self, tree: Path) -> Sequence[Sequence[str]]:
        """The commands that build the suite, in its source tree."""

    def parts(self, tree: Path | None) -> list[str]:
        """The names of all its parts, each of which can be run by itself."""

    def argv(self, part: str, left_out: Mapping[str, str]) -> list[str]:
        """The command line that runs a part, in a folder of links to all files of the source."""

    def outcomes(self, folder: Path, output: str) -> Outcomes:
        """The outcomes of a run, from the files that it left in `folder` and its output."""


def numbered(found: Iterable[tuple[str, str]]) -> Outcomes:
    """Tests and their outcomes; where a name comes again, it gets a number."""
    outcomes: Outcomes = {}
    seen: Counter[str] = Counter()
    for name, outcome in found:
        seen[name] += 1
        outcomes[name if seen[name] == 1 else f"{name} #{seen[name]}"] = outcome
    return outcomes


def run(argv: Sequence[str], folder: Path | None = None) -> str:
    """What a command prints; "" when it fails or is not installed."""
    try:
        return subprocess.run(argv, cwd=folder or "/", capture_output=True, text=True).stdout
    except OSError:
        return ""

"""Kubernetes from Debian's source package, built once: python -m tools.cluster.source WORK GOROOT.

The programs are in WORK/bin, and WORK/tree says where the source is. Where both are there, nothing
is done.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.suites.errors import SuiteError
from tests.suites.sources import fetch

__all__ = ["build"]

SOURCE = "kubernetes"


class Programs:
    """How it is built, as fetch() asks."""

    def __init__(self, work: Path, goroot: Path) -> None:
        self._work, self._goroot = work, goroot

    def build(self, tree: Path) -> Sequence[Sequence[str]]:
        compile_them = Path(__file__).with_name("compile")
        return [[str(each) for each in ("nice", compile_them, tree, self._goroot, self._work)]]


def build(work: Path, goroot: Path) -> None:
    """Fetch and build what is not there. Raises SuiteError."""
    built = fetch(SOURCE, Programs(work, goroot), work, update=False, say=print)
    (work / "tree").write_text(built.tree)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m tools.cluster.source WORK GOROOT")
    try:
        build(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
    except SuiteError as error:
        sys.exit(f"cluster: {error}")

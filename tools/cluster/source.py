"""Kubernetes from Debian's source package, built once: python -m tools.cluster.source WORK GOROOT.

The programs are in WORK/bin, and WORK/tree says where the source is. Where both are there, nothing
is done.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.suites.errors import SuiteError
from tests.suites.sources import fetch

__all__ = ["build"]

SOURCE = "kubernetes"
# As tools/cluster/compile takes them. The first is source that the others do not compile without.
PARTS = ("openapi", "kube-apiserver", "kubelet", "kube-scheduler", "kube-controller-manager")


class Programs:
    """How it is built, as fetch() asks. say: told of each part when it begins, as all of them take
    ten to twenty minutes."""

    def __init__(self, work: Path, goroot: Path, say: Callable[[str], None]) -> None:
        self._work, self._goroot, self._say = work, goroot, say

    def build(self, tree: Path) -> Iterator[Sequence[str]]:
        compile_it = Path(__file__).with_name("compile")
        began = time.monotonic()
        for number, part in enumerate(PARTS, 1):
            after = f"after {time.monotonic() - began:.0f} s"
            self._say(f"compiles {part}, {number} of {len(PARTS)}, {after}")
            words = ("nice", compile_it, tree, self._goroot, self._work, part)
            yield [str(each) for each in words]


def build(work: Path, goroot: Path) -> None:
    """Fetch and build what is not there. Raises SuiteError."""
    built = fetch(SOURCE, Programs(work, goroot, _say), work, update=False, say=_say)
    (work / "tree").write_text(built.tree)


def _say(line: str) -> None:
    print(f"kubernetes: {line}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m tools.cluster.source WORK GOROOT")
    try:
        build(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
    except SuiteError as error:
        sys.exit(f"cluster: {error}")

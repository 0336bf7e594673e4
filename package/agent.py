"""Lays out what an image of the Kubernetes agent has beyond the package: python -m package.agent
FOLDER, of which all goes to /usr/lib/sockproxy.

The official client is three times the size of all else there: the package does without it.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from package.stage import EXTRAS, check_python, install_library, needed

__all__ = ["install_client"]

EXTRA = "kubernetes"
UNUSED = "kubernetes/aio"  # its other half, for asyncio


def install_client(target: Path) -> list[str]:
    """What the agent needs and the package has not, into a folder; the names of what that is."""
    seen = {"sockproxy"}
    for _ in needed("sockproxy", {""} | EXTRAS, seen):
        pass
    found = list(needed("sockproxy", {"", EXTRA}, seen))
    for each in found:
        install_library(each, target)
    shutil.rmtree(target / UNUSED, ignore_errors=True)
    return sorted({each.name for each in found})


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m package.agent FOLDER")
    check_python()
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    print("agent:", *install_client(Path(sys.argv[1])))

"""Runs doctor and the conformance tests on other kernels, and keeps what came of it.

kernels.toml says which. For each, packages.py fetches it, boot.py starts it under emulation with
guest.sh inside, results.py reads what that left, and table.py and document.py show it.
"""

from __future__ import annotations

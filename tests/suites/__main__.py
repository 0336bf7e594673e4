"""`python -m tests.suites`."""

from __future__ import annotations

from tests.suites.cli import main

if __name__ == "__main__":
    main()

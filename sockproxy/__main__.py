"""``python -m sockproxy``."""

from __future__ import annotations

from sockproxy.cli import main

if __name__ == "__main__":
    main()

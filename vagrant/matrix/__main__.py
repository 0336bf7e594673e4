"""`python -m vagrant.matrix`."""

from __future__ import annotations

from vagrant.matrix.cli import main

if __name__ == "__main__":
    main()

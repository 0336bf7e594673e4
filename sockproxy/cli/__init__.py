"""The command line."""

from __future__ import annotations

from sockproxy.cli.main import main

__all__ = ["main"]

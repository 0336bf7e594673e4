"""The one error that ends a command with a line for people."""

from __future__ import annotations

__all__ = ["SuiteError"]


class SuiteError(Exception):
    """What failed, and what to do about it."""

    def __init__(self, failure: str, hint: str = "") -> None:
        super().__init__(f"{failure}: {hint}" if hint else failure)

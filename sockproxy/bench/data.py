"""Where the scenarios and the peers' configurations lie."""

from __future__ import annotations

from pathlib import Path

__all__ = ["data_folder"]

_INSTALLED = Path(__file__).with_name("data")
_CHECKOUT = Path(__file__).resolve().parents[2] / "bench"


def data_folder() -> Path:
    """The folder of `scenarios/` and `peers/`: in a wheel inside the package, else bench/."""
    return _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT

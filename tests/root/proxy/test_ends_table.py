"""Every cell of docs/ends.md is right, tried with few connections; `make ends` tries many."""

from __future__ import annotations

import pytest

from tests.support.ends_table import PROXIES, measured
from tests.support.scale import scaled

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("splice", "bypass")]

OTHER_HOP = "the same, with the client's TCP_USER_TIMEOUT"
"""An option of one connection, which no proxy sees: docs/ends.md."""


@pytest.mark.parametrize("way", ["plain", *PROXIES, "bypass"], ids=lambda way: way.strip("-"))
def test_every_cell_is_right(way):
    cells = measured(way, scaled(20, 4))
    cells.pop("of the bypass", None)
    if way in PROXIES:
        assert cells.pop(OTHER_HOP)[0] == 0
    assert len(cells) > 20
    assert not {row: cell for row, cell in cells.items() if cell[0] != cell[1]}

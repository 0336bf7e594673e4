"""Scale and patience: nothing changes unless asked for."""

from __future__ import annotations

import pytest

from tests.support.scale import patience, scaled


def test_without_the_two_nothing_changes(monkeypatch):
    for name in ("SOCKPROXY_SCALE", "SOCKPROXY_PATIENCE"):
        monkeypatch.delenv(name, raising=False)
    assert [scaled(0), scaled(7, 100), scaled(0.5)] == [0, 7, 0.5]
    assert patience(20) == 20


def test_scaled(monkeypatch):
    monkeypatch.setenv("SOCKPROXY_SCALE", "0.05")
    assert [scaled(1000), scaled(10), scaled(10, 3), scaled(10.0, 0.1)] == [50, 1, 3, 0.5]
    assert isinstance(scaled(1001), int)


def test_patience(monkeypatch):
    monkeypatch.setenv("SOCKPROXY_PATIENCE", "20")
    assert patience(0.5) == 10


@pytest.mark.parametrize("value", ["0", "-1", "much"])
def test_what_is_no_factor_is_refused(monkeypatch, value):
    monkeypatch.setenv("SOCKPROXY_SCALE", value)
    with pytest.raises(ValueError, match="SOCKPROXY_SCALE"):
        scaled(1)

"""A world where nothing is kept, and a fake is asked in doctor's place."""

from __future__ import annotations

import pytest

from sockproxy.proof import ask, record
from sockproxy.proof.record import kept_at
from tests.unit.proof.made import FakeExamination


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A run-time directory of our own; doctor is not there to be asked."""
    monkeypatch.setattr(record, "runtime_root", lambda: tmp_path / "sockproxy")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(ask, "Examination", FakeExamination)
    monkeypatch.setattr(FakeExamination, "asked", [])
    monkeypatch.setattr(FakeExamination, "says", [])
    ask.forget()
    yield kept_at()
    ask.forget()

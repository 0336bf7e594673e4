"""A machine that is as busy as a test says."""

from __future__ import annotations

import sys

import pytest

from sockproxy.doctor import examine, load

examination = sys.modules[examine.__module__]  # its name is the function's too


@pytest.fixture
def busy(monkeypatch):
    """A function: whether the machine is to be taken for a busy one."""
    monkeypatch.setattr(examination, "PAUSE", 0.0)

    def be(value):
        monkeypatch.setattr(load.Load, "was_busy", lambda load, pid: value)

    be(False)
    return be

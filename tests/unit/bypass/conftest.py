"""A cgroup that is a directory of ours, and nobody who listens."""

from __future__ import annotations

import pytest

from sockproxy.bypass import attach as attaching
from sockproxy.bypass import groups
from sockproxy.cgroup import group as cgroups
from sockproxy.proof import ask


@pytest.fixture
def group(tmp_path, monkeypatch):
    """The path of a cgroup without processes, on a hierarchy of its own."""
    for module in (groups, cgroups):
        monkeypatch.setattr(module, "find_mount", lambda: tmp_path)
    monkeypatch.setattr(attaching, "acceptors", lambda programs, *cgroups: {})
    path = tmp_path / "group"
    path.mkdir()
    for each in (tmp_path, path):
        (each / "cgroup.procs").touch()
    return path


@pytest.fixture
def proved(monkeypatch):
    """A function: from now on this is what doctor has found, by mechanism."""
    monkeypatch.setattr(ask, "_known", {})
    return ask.learn

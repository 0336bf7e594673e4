"""Recorded answers, and pods made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sockproxy.agent.pods import Pod

ANSWERS = Path(__file__).parent / "answers"


@pytest.fixture
def recorded():
    """A function: what a file of recorded answers holds, as bytes."""
    return lambda name: (ANSWERS / name).read_bytes()


@pytest.fixture
def place(tmp_path):
    """A function: a pod, which asks for a bypass, and has a cgroup below tmp_path, or none."""

    def make(number, asked="mesh", cgroup=True):
        uid = f"00000000-0000-0000-0000-{number:012x}"
        if cgroup:
            (tmp_path / "kubepods" / "burstable" / f"pod{uid}").mkdir(parents=True)
        return Pod(uid, "default", f"pod-{number}", asked, uid)

    return make

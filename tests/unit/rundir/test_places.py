"""Which bpffs there are, as the kernel lists mounts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sockproxy.rundir import mounts, places

LISTED = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw
31 22 0:31 / /mnt/a\\040b rw,relatime - bpf none rw,mode=700
32 22 0:32 / /run/sockproxy-bpf rw,relatime - bpf bpf rw,mode=700
33 22 0:33 / /sys/fs/bpf rw,nosuid shared:11 master:2 - bpf bpf rw,mode=700
34 22 0:34 / /tmp/bpf rw,relatime - tmpfs bpf rw
35 33 0:35 / /sys/fs/bpf rw,relatime - bpf bpf rw
"""


@pytest.fixture
def listed(tmp_path, monkeypatch):
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "mountinfo").write_text(LISTED)
    monkeypatch.setattr(mounts, "PROC", tmp_path)


def test_the_usual_ones_come_first_and_one_may_cover_another(listed):
    found = [(os.minor(each.device), each.point, each.covered) for each in mounts.mounts()]
    assert found == [
        (33, Path("/sys/fs/bpf"), True),
        (35, Path("/sys/fs/bpf"), False),
        (32, Path("/run/sockproxy-bpf"), False),
        (31, Path("/mnt/a b"), False),
    ]


def test_what_is_not_what_was_listed_is_not_looked_into(tmp_path, monkeypatch):
    """Another file system lies over it."""
    monkeypatch.setattr(mounts, "mounts", lambda: [mounts.Mount(os.makedev(0, 99), tmp_path)])
    with places.surveyed() as survey:
        assert survey.places == []
        assert "another mount covers it" in str(survey.refused[0])

"""A bpffs that anybody may write to: nothing of others is used, and nothing of ours is in reach."""

from __future__ import annotations

import contextlib
import os

import pytest

from sockproxy.rundir import sight
from tests.support.bypass import NAME, sockproxy, status
from tests.support.hostile import NOBODY, as_nobody, run_as_nobody
from tests.support.proxy import run_sockproxy
from tests.support.scale import scaled

pytestmark = [pytest.mark.root, pytest.mark.bpf]


def plant_folder(place):
    """What we look for, and in it what we would take for our own rubbish."""
    os.makedirs(f"{place}/~old/link")
    os.mkdir(f"{place}/+old")


@pytest.fixture
def victim(tmp_path):
    """Files of root that have the names of what a killed command leaves."""
    for name in ("~old", NAME):
        (tmp_path / name).mkdir()
        (tmp_path / name / "link").write_text("precious")
    os.chmod(tmp_path, 0o700)
    return tmp_path


def contents(top):
    return sorted(
        os.path.join(each[0], name) for each in os.walk(top) for name in each[1] + each[2]
    )


@pytest.mark.parametrize("planted", ["folder", "link", "open folder"])
def test_what_was_planted_is_refused_and_not_touched(bpffs, group, victim, planted):
    place = bpffs / "sockproxy"
    if planted == "folder":
        assert not run_as_nobody(plant_folder, place)
    elif planted == "link":
        assert not run_as_nobody(os.symlink, victim, place)
    else:  # by a careless administrator
        place.mkdir()
        place.chmod(0o777)
        assert not run_as_nobody(plant_folder, place / "x")
    before = contents(bpffs), contents(victim)
    done = run_sockproxy("attach", NAME, "--cgroup", group.path, "--observe")
    assert done.returncode == 0, done.stderr
    (line,) = [each for each in done.stderr.splitlines() if str(place) in each]
    assert "remove it" in line
    assert status()["place"] == f"/run/sockproxy-bpf/sockproxy/{NAME}"
    assert "changed" in sockproxy("attach", NAME, "--cgroup", group.path, "--observe")
    assert NAME in sockproxy("status")
    assert "detached" in sockproxy("detach", NAME)
    assert "was not attached" in sockproxy("detach", NAME)
    assert (contents(bpffs), contents(victim)) == before


def test_what_lies_where_all_may_rename_is_not_used(bpffs, group):
    bpffs.chmod(0o777)  # the kernel makes it sticky
    sockproxy("attach", NAME, "--cgroup", group.path, "--observe")
    try:
        assert status()["place"].startswith("/run/sockproxy-bpf/")
        assert not (bpffs / "sockproxy").exists()
    finally:
        sockproxy("detach", NAME)


def test_a_live_attachment_cannot_be_taken_away(bpffs, group):
    sockproxy("attach", NAME, "--cgroup", group.path, "--observe")
    try:
        place = bpffs / "sockproxy"
        assert status()["place"] == str(place / NAME)
        for path in (place, place / NAME):
            assert "PermissionError" in run_as_nobody(os.rename, path, f"{path}-gone")
        assert "PermissionError" in run_as_nobody(os.listdir, place)
        assert NAME in sight.names()
    finally:
        sockproxy("detach", NAME)
    assert not (bpffs / "sockproxy").exists()


def swap(place, victim):
    """Change what is at `place` as fast as it goes, until he is ended."""
    aside = f"{place}-aside"
    steps = [
        (os.mkdir, place), (os.mkdir, f"{place}/~old"), (os.rename, place, aside),
        (os.symlink, victim, place), (os.unlink, place), (os.rmdir, f"{aside}/~old"),
        (os.rmdir, f"{aside}/+old"), (os.rmdir, aside),
    ]  # fmt: skip
    while True:
        for step, *arguments in steps:
            with contextlib.suppress(OSError):
                step(*arguments)


def test_swapped_all_the_time(bpffs, group, victim):
    """Between each look of ours and what we do next."""
    before = contents(victim)
    with as_nobody(swap, bpffs / "sockproxy", victim):
        for _ in range(scaled(12, 3)):
            sockproxy("attach", NAME, "--cgroup", group.path, "--observe")
            assert sight.names() == [NAME]
            assert "detached" in sockproxy("detach", NAME)
            assert sight.names() == []
    assert contents(victim) == before
    for each in bpffs.iterdir():  # what is left is his
        assert each.name.endswith(".debug") or each.lstat().st_uid == NOBODY

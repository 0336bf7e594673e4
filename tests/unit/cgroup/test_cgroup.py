"""Finding the mount, and which groups are leftovers, on made-up trees."""

from __future__ import annotations

import errno
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from sockproxy.cgroup import Cgroup, find_mount, owned, owner, sweep
from sockproxy.cgroup import group as group_module
from sockproxy.errors import CgroupError, Unsupported, UsageError
from tests.support.sockets import eventually

HERE = int(owner.owner_mark().partition(".")[0])  # our PID namespace
UNIFIED = "cgroup2 {0}/cgroup cgroup2 rw,nosuid 0 0\n"
HYBRID = (
    "tmpfs {0}/cgroup tmpfs ro 0 0\n"
    "cgroup {0}/cgroup/cpu cgroup rw,cpu 0 0\n"
    "cgroup2 {0}/cgroup/unified cgroup2 rw 0 0\n"
)
HIDDEN = "cgroup2 {0}/hidden cgroup2 rw 0 0\n"


@pytest.mark.parametrize(
    ("mounts", "path"),
    [
        (UNIFIED, "cgroup"),
        (HYBRID, "cgroup/unified"),
        ("none {0}/a\\040b cgroup2 rw 0 0\n", "a b"),
        (HIDDEN + UNIFIED, "cgroup"),
    ],
)
def test_the_mount_is_found_wherever_it_is(tmp_path, mounts, path):
    (tmp_path / path).mkdir(parents=True)
    (tmp_path / path / "cgroup.procs").touch()
    file = tmp_path / "mounts"
    file.write_text("proc /proc proc rw 0 0\n" + mounts.format(tmp_path))
    assert find_mount(file) == tmp_path / path


@pytest.mark.parametrize("mounts", ["cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n", HIDDEN])
def test_no_mount_says_what_to_do(tmp_path, mounts):
    file = tmp_path / "mounts"
    file.write_text(mounts.format(tmp_path))
    with pytest.raises(Unsupported, match="mount -t cgroup2"):
        find_mount(file)


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a b", "-x"])
def test_a_bad_name_is_refused(tmp_path, name):
    with pytest.raises(UsageError):
        Cgroup(tmp_path).child(name)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.setattr(owned, "find_mount", lambda: tmp_path)
    parent = tmp_path / "sockproxy"
    parent.mkdir()
    return parent


def test_only_groups_of_dead_owners_are_swept(tree):
    mine = f"web.{owner.owner_mark()}"
    reused_pid = f"web.{HERE}.{os.getpid()}.1"
    dead = f"web.{HERE}.4194304.5"  # above the largest pid there can be
    for name in (mine, reused_pid, dead, "somebody-elses", "a.b.c.d"):
        (tree / name).mkdir()
    (tree / dead / "nested").mkdir()
    assert {path.name for path in sweep()} == {reused_pid, dead}
    assert {path.name for path in tree.iterdir()} == {mine, "somebody-elses", "a.b.c.d"}


def test_a_group_with_somebody_inside_is_left(tree):
    group = tree / f"web.{HERE}.4194304.5"
    group.mkdir()
    (group / "cgroup.procs").write_text("17\n")
    assert sweep() == []


def test_a_group_of_a_run_is_left_to_who_detaches_its_bypass_first(tree):
    (tree / f"run@web.{HERE}.4194304.5").mkdir()
    assert sweep() == []
    assert [group.path.name for group in owned.orphans()] == [f"run@web.{HERE}.4194304.5"]


def test_an_owner_in_a_pid_namespace_that_is_not_seen_is_not_taken_for_dead(tree, monkeypatch):
    name = f"web.{HERE + 1}.4194304.5"
    (tree / name).mkdir()
    monkeypatch.setattr(owner, "FIRST_NAMESPACE", 0)  # ours is not the one that shows all
    assert sweep() == []
    monkeypatch.setattr(owner, "FIRST_NAMESPACE", HERE)
    assert [each.name for each in sweep()] == [name]


def test_a_process_of_another_pid_namespace_is_not_taken_for_our_own_group(tmp_path, monkeypatch):
    """The kernel shows it as 0, and kill(0) reaches who calls it."""
    (tmp_path / "cgroup.procs").write_text("0\n")
    ended = []
    monkeypatch.setattr(os, "kill", lambda pid, number: ended.append(pid))
    monkeypatch.setattr(group_module, "UNKILLABLE", 0.1)
    with pytest.raises(CgroupError, match="do not end"):
        Cgroup(tmp_path).end_all(0)
    assert ended == []


def test_an_owner_that_nobody_has_reaped_is_dead():
    with subprocess.Popen(["sleep", "60"]) as process:
        mark = f"web.{HERE}.{process.pid}.{owner.start_time(process.pid)}"
        assert not owner.is_owner_dead(mark)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert owner.is_owner_dead(mark)


def test_an_owner_whose_first_thread_has_ended_lives():
    code = (
        "import ctypes, threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "print(flush=True)\n"
        "ctypes.CDLL(None).syscall(60, 0)\n"  # exit(2), which is of one thread
    )
    if platform.machine() != "x86_64":
        pytest.skip("the number of exit(2) is that of x86-64")
    argv = [sys.executable, "-c", code]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        mark = f"web.{HERE}.{process.pid}.{owner.start_time(process.pid)}"
        state = Path(f"/proc/{process.pid}/stat")
        eventually(lambda: " Z " in state.read_text())
        assert not owner.is_owner_dead(mark)
        process.kill()


def test_the_empty_parent_goes_too(tree):
    (tree / f"web.{HERE}.4194304.5").mkdir()
    sweep()
    assert not tree.exists()
    assert sweep() == []


@pytest.fixture
def unit(tree, monkeypatch):
    """The cgroup of a service, in which we are, delegated to it."""
    inside = Cgroup(tree.parent / "system.slice" / "edge.service")
    inside.path.mkdir(parents=True)
    monkeypatch.setattr(owned, "current", lambda: inside)
    monkeypatch.setattr(os, "getxattr", lambda path, name: {inside.path: b"1"}[path])
    return inside.path


def test_a_service_keeps_to_what_is_delegated_to_it(unit, tree, monkeypatch):
    """And what it makes from inside of its own goes beside that."""
    made = owned.create_owned("edge")
    assert made.path.parent == unit / "sockproxy"
    monkeypatch.setattr(owned, "current", lambda: made)
    beside = owned.create_owned("probe")
    assert beside.path.parent == unit / "sockproxy"
    beside.remove()
    made.remove()
    assert list(unit.iterdir()) == []


def test_what_a_bypass_outlives_is_at_the_root(unit, tree):
    kept = owned.create_owned(f"{owned.KEPT}web")
    assert kept.path.parent == tree


def test_the_dead_are_found_in_both_places(unit, tree):
    dead = f"web.{HERE}.4194304.5"
    for place in (tree, unit / "sockproxy"):
        (place / dead).mkdir(parents=True)
    assert set(sweep()) == {tree / dead, unit / "sockproxy" / dead}


@pytest.mark.parametrize("value", [b"0", None])
def test_what_is_not_delegated_is_let_alone(unit, tree, monkeypatch, value):
    def getxattr(_path, _name):
        if value is None:
            raise OSError(errno.ENODATA, "no such attribute")
        return value

    monkeypatch.setattr(os, "getxattr", getxattr)
    made = owned.create_owned("edge")
    assert made.path.parent == tree
    made.remove()

"""cgroup v2 on the real hierarchy."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from sockproxy.cgroup import Cgroup, create_owned, current, find_mount, sweep
from sockproxy.errors import CgroupError

pytestmark = pytest.mark.root


@pytest.fixture
def group():
    made = create_owned("test")
    yield made
    made.remove()


def test_create_enter_and_remove_from_inside(group):
    before = current()
    group.enter()
    assert current().path == group.path
    assert os.getpid() in group.processes()
    assert group.id == os.stat(group.path).st_ino
    group.remove()
    assert not group.path.exists()
    assert current().path == before.path


def test_entered_goes_back(group):
    before = current()
    with pytest.raises(ZeroDivisionError), group.entered():
        assert current().path == group.path
        raise ZeroDivisionError
    assert current().path == before.path


def test_nested_groups_are_removed_bottom_up(group):
    group.child("a").create().child("b").create()
    group.remove()
    assert not group.path.exists()


def test_removing_twice_is_allowed(group):
    group.remove()
    group.remove()


def test_processes_inside_are_named(group):
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            group.enter(process.pid)
            with pytest.raises(CgroupError, match=str(process.pid)):
                Cgroup(group.path).remove()
        finally:
            process.kill()


def test_leftover_of_a_killed_process_is_swept():
    code = (
        "import os, signal; from sockproxy.cgroup import create_owned;"
        "g = create_owned('victim'); g.enter(); print(g.path, flush=True);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    path = done.stdout.strip()
    assert os.path.isdir(path)
    sweep()
    assert not os.path.exists(path)


def test_many_create_and_sweep_at_once():
    errors = []

    def churn(number):
        try:
            for _ in range(50):
                made = create_owned(f"churn-{number}")
                sweep()
                assert made.path.exists()
                made.remove()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=churn, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert not list((find_mount() / "sockproxy").glob("churn-*"))

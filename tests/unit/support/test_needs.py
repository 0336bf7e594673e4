"""The rules of conftest.py: what is skipped, what is required, what counts as residue."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support import needs, residue
from tests.support.sockets import eventually

ROOT = Path(__file__).resolve().parents[3]

ONE_TEST = """
import pytest

@pytest.mark.tools("no-such-program")
def test_it():
    pass
"""


def run_pytest(folder, require):
    (folder / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (folder / "test_it.py").write_text(ONE_TEST)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", str(folder)],
        env={"PYTHONPATH": str(ROOT), "SOCKPROXY_REQUIRE": require},
        capture_output=True,
        text=True,
        cwd=folder,
    )


def test_a_missing_program_skips_and_says_how_to_get_it(tmp_path):
    done = run_pytest(tmp_path, "root,bpf")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no no-such-program: as root, run tools/setup-debian" in done.stdout


def test_a_missing_program_fails_when_required(tmp_path):
    done = run_pytest(tmp_path, "tools")
    assert done.returncode == 1
    assert "required by SOCKPROXY_REQUIRE" in done.stdout


def test_an_unknown_need_is_a_usage_error(tmp_path):
    done = run_pytest(tmp_path, "tols")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "tols" in done.stderr


def test_programs_are_found_by_name():
    assert needs.lacks_tools("sh") is None
    assert "no-such-program" in needs.lacks_tools("sh", "no-such-program")


def test_a_running_child_is_residue_until_it_ends():
    before = residue.snapshot()
    child = subprocess.Popen(["sleep", "60"])
    try:
        # Its command line is empty for a moment after exec.
        eventually(lambda: "sleep 60" in str(residue.left_behind(before, patience=0)))
    finally:
        child.kill()
        child.wait()
    assert not [line for line in residue.left_behind(before) if "sleep 60" in line]


def test_adopted_zombies_are_buried():
    child = os.fork()
    if not child:
        os._exit(0)
    eventually(lambda: child in residue.zombies())
    with subprocess.Popen(["true"]) as waited_for:
        pass
    residue.bury({child, waited_for.pid})
    assert child not in residue.zombies()
    with pytest.raises(ChildProcessError):
        os.waitpid(child, 0)


def test_directories_are_residue(tmp_path, monkeypatch):
    monkeypatch.setattr(residue, "NETNS", tmp_path)
    before = residue.snapshot()
    (tmp_path / f"test-{os.getpid()}").mkdir()
    (tmp_path / "a-users").mkdir()
    lines = residue.left_behind(before, patience=0)
    assert lines == [f"network namespace: {tmp_path}/test-{os.getpid()}"]


@contextlib.contextmanager
def stranger():
    """A process that is known as one of another run of the tests."""
    argv = [sys.executable, "-c", "input('pytest')"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        try:
            # Its command line is empty for a moment after exec.
            eventually(lambda: residue.runs_sockproxy(process.pid))
            yield process
        finally:
            process.communicate()


@pytest.fixture
def in_one_run(monkeypatch):
    """What others hold may be in the same places: none of them has a /run of its own."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)


def test_what_the_dead_leave_in_a_run_of_ones_own_is_residue(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    monkeypatch.setattr(residue, "RUNTIME", tmp_path)
    before = residue.snapshot()
    dead = subprocess.Popen(["true"])
    dead.wait()
    (tmp_path / f"test-{dead.pid}-1").mkdir()
    assert f"test-{dead.pid}-1" in "\n".join(residue.left_behind(before, patience=0))


@pytest.mark.usefixtures("in_one_run")
def test_what_another_run_holds_is_not_residue(tmp_path, monkeypatch):
    monkeypatch.setattr(residue, "RUNTIME", tmp_path)
    monkeypatch.setattr(residue, "children", set)  # the child below stands for a stranger
    before = residue.snapshot()
    (tmp_path / f"test-{os.getpid()}-1").mkdir()
    with stranger() as other:
        (tmp_path / f"test-{other.pid}-1").mkdir()
        shown = "\n".join(residue.left_behind(before, patience=0))
    assert f"test-{os.getpid()}-1" in shown
    assert f"test-{other.pid}-1" not in shown


def test_what_is_of_sockproxy_is_recognised():
    mine = {"/sys/fs/bpf/sockproxy/mesh/link", "/sys/fs/bpf/sockproxy"}
    assert residue.recognised("pinned BPF object", {*mine, "/sys/fs/bpf/tc/globals/map"}) == mine
    mine = {"/sys/fs/cgroup/sockproxy/web.17.4711"}
    assert residue.recognised("cgroup", {*mine, "/sys/fs/cgroup/machine.slice/pod1"}) == mine


@pytest.mark.usefixtures("in_one_run")
def test_what_the_dead_have_left_is_nobodys_while_another_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(residue, "RUNTIME", tmp_path)
    before = residue.snapshot()
    dead = subprocess.Popen(["true"])
    dead.wait()
    (tmp_path / f"test-{dead.pid}-1").mkdir()
    others = set(filter(residue.runs_sockproxy, psutil.pids())) - {
        os.getpid(),
        *residue.ancestors(),
    }
    shown = "\n".join(residue.left_behind(before, patience=0))
    assert (f"test-{dead.pid}-1" in shown) == (not others)
    monkeypatch.setattr(residue, "children", set)
    with stranger():
        assert f"test-{dead.pid}-1" not in "\n".join(residue.left_behind(before, patience=0))

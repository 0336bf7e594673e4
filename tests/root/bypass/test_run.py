"""`sockproxy run`: what it leaves when it is killed, and where it has no cgroup or no command."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sockproxy.bypass import leftovers
from sockproxy.bypass.attach import attach
from sockproxy.bypass.detach import detach
from sockproxy.bypass.options import BypassOptions
from sockproxy.cgroup import create_owned, find_mount, owner_mark
from sockproxy.rundir import sight
from tests.support.bypass import NAME
from tests.support.bypass import sockproxy as command
from tests.support.namespace import Namespace
from tests.support.proxy import ROOT, run_sockproxy
from tests.support.scale import patience, scaled
from tests.support.sockets import eventually

pytestmark = [pytest.mark.root, pytest.mark.bpf]

ARGV = [sys.executable, "-m", "sockproxy", "run", "--force"]
LENGTH = f"86399.{os.getpid()}"  # seconds; nobody else sleeps for so long
# A child, a grandchild and one that has left the session: they say that they run.
TREE = f"sleep {LENGTH} & setsid sleep {LENGTH} & echo up; sleep {LENGTH}; true"
# Ends the guard as well, so that only the next command can collect.
WITHOUT_GUARD = """\
import contextlib, sys
from sockproxy.bypass import run
run.guarded = lambda name, group: contextlib.nullcontext()
from sockproxy.cli import main
main()
"""


def sleepers():
    """Processes of TREE that run."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if LENGTH in words and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found


def has_ended(process):
    """Whether it was killed, though nobody may have reaped it."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def groups(name=NAME):
    """Cgroups of a `run` with that NAME."""
    return list((find_mount() / "sockproxy").glob(f"run@{name}.*"))


def gone():
    return not sleepers() and not groups() and NAME not in sight.names()


@contextlib.contextmanager
def running(*argv):
    """A `run` whose command is up; what still runs at the end is killed."""
    process = subprocess.Popen(
        [*argv, NAME, "--", "sh", "-c", TREE],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    with process:
        try:
            assert process.stdout.readline() == "up\n"
            eventually(lambda: len(sleepers()) == 3, 20)
            yield process
        finally:
            process.kill()


def test_killed_it_takes_all_with_it():
    with running(*ARGV) as process:
        assert NAME in sight.names()
        process.kill()
        process.wait()
        eventually(gone, 20)


def test_killed_with_its_guard_the_command_ends_and_the_next_command_collects():
    argv = [sys.executable, "-c", WITHOUT_GUARD, "run", "--force"]
    for next_command in ("run", "attach", "detach"):
        with running(*argv) as process:
            (shell,) = psutil.Process(process.pid).children()
            process.kill()
            process.wait()
            eventually(lambda shell=shell: has_ended(shell), 20)
            assert len(groups()) == 1
            assert NAME in sight.names()
            if next_command == "run":
                assert command("run", NAME, "--", "echo", "again").startswith("again")
            elif next_command == "attach":
                inside = create_owned("other")
                try:
                    command("attach", f"{NAME}-b", "--cgroup", inside.path)
                    assert sight.names().count(NAME) == 0
                    command("detach", f"{NAME}-b")
                finally:
                    inside.remove()
            else:
                command("detach", f"{NAME}-b")
            assert gone()


@pytest.mark.timeout(patience(900))
@pytest.mark.parametrize("kills", [8, pytest.param(50, marks=pytest.mark.soak)])
def test_killed_at_any_moment(kills):
    """Twice in a row the NAME is taken, whatever the one before had got to."""
    chance = random.Random(46)
    for _ in range(scaled(kills, 5)):
        process = subprocess.Popen(
            [*ARGV, "-q", NAME, "--", "sh", "-c", TREE],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # From before its first step to after its last one.
        time.sleep(chance.random() * patience(1.2))
        process.kill()
        process.wait()
        assert command("run", "--force", NAME, "--", "echo", "again").startswith("again")
        eventually(gone, 20)


def test_a_living_run_is_left_alone():
    with running(*ARGV) as process:
        before = sleepers()
        done = run_sockproxy("run", NAME, "--", "true")
        assert (done.returncode, "is attached" in done.stderr) == (2, True)
        assert command("run", f"{NAME}-b", "--", "echo", "other").startswith("other")
        leftovers.collect()
        assert sleepers() == before
        process.send_signal(signal.SIGTERM)
        assert process.wait(patience(20)) == 128 + signal.SIGTERM
    eventually(gone, 20)


def test_only_what_the_dead_one_attached_is_detached():
    """Somebody has attached the NAME to another cgroup meanwhile."""
    dead = find_mount() / "sockproxy" / leftovers.group_name(NAME)
    group = create_owned("mine")
    dead = dead.with_name(f"{dead.name}.{owner_mark().partition('.')[0]}.4194304.5")
    dead.mkdir()
    try:
        attach(NAME, group.path, BypassOptions(force=True, observe=True))
        leftovers.collect()
        assert not dead.exists()
        assert NAME in sight.names()
    finally:
        detach(NAME, 10)
        group.remove()


IN_ANOTHER_NAMESPACE = f"""\
from sockproxy.bypass.leftovers import group_name
from sockproxy.cgroup import create_owned
print(create_owned(group_name("{NAME}")).path, flush=True)
input()
"""


@pytest.mark.tools("unshare")
def test_one_of_another_pid_namespace_is_left_as_long_as_that_lives():
    """Its pids tell us nothing."""
    argv = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c"]
    with subprocess.Popen(
        [*argv, IN_ANOTHER_NAMESPACE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        path = Path(process.stdout.readline().strip())
        assert path.is_dir()
        leftovers.collect()
        assert path.is_dir()
        process.stdin.close()
        process.wait()
    leftovers.collect()
    if path.exists():  # we are in a namespace that does not show all processes
        path.rmdir()
        assert os.readlink("/proc/self/ns/pid") != "pid:[4026531836]"


# -- without a cgroup --------------------------------------------------------------------------


@pytest.mark.tools("ip")
def test_inside_of_ip_netns_exec_the_command_runs_plainly():
    """There /sys is mounted anew, without cgroups."""
    inside = Namespace(NAME)
    argv = ["ip", "netns", "exec", NAME, *ARGV[:-1]]
    try:
        done = subprocess.run(
            [*argv, "--", "sh", "-c", "echo done; exit 7"], capture_output=True, text=True, cwd=ROOT
        )
        assert (done.returncode, done.stdout) == (7, "done\n"), done.stderr
        assert "by plain TCP: no cgroup for it: find cgroup v2" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        forced = subprocess.run(
            [*argv, "--force", "--", "echo", "done"], capture_output=True, text=True, cwd=ROOT
        )
        assert (forced.returncode, forced.stdout) == (4, "")
        assert len(forced.stderr.splitlines()) == 1
    finally:
        inside.remove()


@pytest.mark.tools("unshare")
def test_with_cgroups_read_only_the_command_runs_plainly():
    script = f'mount -o remount,bind,ro {find_mount()} && exec "$@"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *ARGV[:-1], "--", "sh", "-c", "exit 7"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 7, done.stderr
    assert "by plain TCP: no cgroup for it" in done.stderr
    assert "Traceback" not in done.stderr


# -- without a command -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "code"),
    [(["nosuch-command"], 127), (["/nosuch/command"], 127), ([""], 127), (["/etc"], 126),
     (["/etc/passwd"], 126), (["/etc/passwd/x"], 126), (["x" * 5000], 126),
     (["./not-a-program"], 126)],
    ids=["name", "path", "empty", "directory", "no-x", "below-a-file", "long", "format"],
)  # fmt: skip
def test_what_cannot_be_run(tmp_path, argv, code):
    (tmp_path / "not-a-program").write_bytes(b"\0\1\2\3")
    (tmp_path / "not-a-program").chmod(0o755)
    if argv == ["./not-a-program"]:
        argv = [str(tmp_path / "not-a-program")]
    done = run_sockproxy("run", NAME, "--", *argv)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("sockproxy: run ")
    assert len(done.stderr.splitlines()) == 1
    assert gone()

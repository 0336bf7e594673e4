"""What others mount, and what is out of sight in their mount namespaces: an attachment stays
alive, is found, and can be detached."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from sockproxy.rundir import sight
from tests.root.hostile.conftest import BPFFS, OWN
from tests.support.bypass import NAME, converse, sockproxy, status
from tests.support.mounts import mount
from tests.support.scale import patience
from tests.support.sockets import tcp_pair

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.tools("nsenter", "unshare")]

OTHER = f"{NAME}-other"


@contextlib.contextmanager
def namespace():
    """A mount namespace that sees what is mounted now, and nothing that comes later: a function
    that runs a command of sockproxy in it, and returns what it printed."""
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo; exec sleep 1000"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"\n"

        def run(*arguments, code=0):
            done = subprocess.run(
                ["nsenter", "--target", str(holder.pid), "--mount",
                 sys.executable, "-m", "sockproxy", *map(str, arguments)],
                capture_output=True, text=True, timeout=patience(60),
            )  # fmt: skip
            assert done.returncode == code, done.stderr
            assert "Traceback" not in done.stderr, done.stderr
            return done.stdout + done.stderr

        try:
            yield run
        finally:
            holder.kill()


def attach(name, group):
    """As a user does, whatever doctor says."""
    return sockproxy("attach", name, "--cgroup", group.path, "--observe", "--force")


def is_alive():
    """Whether NAME counts the connections of this process: one more."""
    before = status()["paired"]
    one, other = tcp_pair()
    with one, other:
        converse(one, other)
        return status()["paired"] == before + 1


def test_a_detach_in_another_namespace_is_none_of_ours(mounts, group):
    """Both have a bpffs at OWN, in the /run that they share."""
    with namespace() as run:
        attach(NAME, group)
        assert status()["place"] == str(OWN / "sockproxy" / NAME)
        there = ["--cgroup", group.path, "--observe", "--force"]
        text = run("attach", OTHER, *there)
        assert f"{OTHER}: attached" in text
        assert "only this mount namespace sees, and ends with it" in text
        assert OTHER in run("status")
        assert "detached" in run("detach", OTHER)
        assert is_alive()
        assert NAME in sight.names()
    assert "detached" in sockproxy("detach", NAME)
    assert sight.names() == []


def test_what_only_others_see_is_said_and_not_taken_for_gone(mounts, group):
    with namespace() as run:
        attach(NAME, group)
        there = ["--cgroup", group.path, "--observe", "--force"]
        for command in ("detach", "status", "connections", "attach"):
            text = run(command, NAME, *(there if command == "attach" else []), code=1)
            assert f"{NAME} is on the bpffs at {OWN} of another mount namespace" in text
            assert "nsenter -t" in text
        assert f"{NAME} is on the bpffs" in run("status")
        assert "was not attached" in run("detach", OTHER)
        assert is_alive()
    assert "detached" in sockproxy("detach", NAME)


def test_a_bpffs_that_came_late(mounts, group):
    """As bpftool mounts one by itself: NAME is where it was, and others come beside it."""
    attach(NAME, group)
    mount("bpf", BPFFS)
    assert status()["place"] == str(OWN / "sockproxy" / NAME)
    assert "changed" in attach(NAME, group)
    assert "attached" in attach(OTHER, group)
    assert status(OTHER)["place"] == str(OWN / "sockproxy" / OTHER)
    assert is_alive()
    for name in (NAME, OTHER):
        assert "detached" in sockproxy("detach", name)
    assert sight.names() == []
    assert "attached" in attach(NAME, group)
    assert status()["place"] == str(BPFFS / "sockproxy" / NAME)
    sockproxy("detach", NAME)
    assert not (BPFFS / "sockproxy").exists()


def test_a_bpffs_over_that_of_a_name(bpffs, group):
    """No path leads to it any more."""
    attach(NAME, group)
    mount("bpf", BPFFS)
    told = json.loads(sockproxy("status", "--json"))
    assert NAME in [each["name"] for each in told["bypasses"]]
    assert is_alive()
    assert "attached" in attach(OTHER, group)
    assert [each.name for each in (BPFFS / "sockproxy").iterdir()] == [OTHER]
    assert "changed" in attach(NAME, group)
    for name in (OTHER, NAME):
        assert "detached" in sockproxy("detach", name)
    assert sight.names() == []
    lines = Path("/proc/self/mounts").read_text()
    assert lines.count(f"bpf {BPFFS} bpf") == 2


def test_something_else_over_that_of_a_name(bpffs, group):
    """It is below another file system, as in a sandbox: said, and nothing else is done."""
    attach(NAME, group)
    mount("tmpfs", BPFFS.parent)
    BPFFS.mkdir()
    try:
        mount("tmpfs", BPFFS)
        done = sockproxy("status", NAME, code=1)
        assert "nothing named" in done
    finally:
        subprocess.run(["umount", BPFFS], check=True)
        subprocess.run(["umount", BPFFS.parent], check=True)
    assert is_alive()
    assert "detached" in sockproxy("detach", NAME)

"""`sockproxy audit`: who did what, and what skipped TCP, or why that may not be all."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time

import pytest

from tests.support.bypass import ALL_READERS, NAME, converse, sockproxy
from tests.support.commands import begun
from tests.support.proxy import run_sockproxy
from tests.support.scale import patience
from tests.support.sockets import tcp_pair

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass"), pytest.mark.timeout(180)]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SOCKPROXY_AUDIT", str(tmp_path / "audit"))
    return tmp_path / "audit"


@contextlib.contextmanager
def recording():
    """`sockproxy audit --record`, which has begun when this does."""
    with begun("writing down", "audit", "--record") as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=patience(20))
    assert process.returncode in (0, -signal.SIGKILL)


def told(*arguments, code):
    return json.loads(sockproxy("audit", *arguments, "--json", code=code))


@pytest.fixture
def gone(group):
    """The cgroup; whatever comes, nothing is attached to it in the end."""
    yield group
    sockproxy("detach", NAME)


def test_what_was_done_and_what_skipped_tcp(gone):
    with recording():
        begun = time.monotonic()
        time.sleep(patience(1))  # that the command below may take to begin
        sockproxy("attach", NAME, "--cgroup", gone.path, "--force", *ALL_READERS)
        time.sleep(patience(1.5))  # until the recorder has seen it
        for _ in range(3):
            one, other = tcp_pair()
            with one, other:
                converse(one, other)
        sockproxy("attach", NAME, "--cgroup", gone.path, "--force", "--deny", "1-65535")
        one, other = tcp_pair()
        with one, other:
            converse(one, other)
        time.sleep(patience(0.5))
        # Not from before `begun`, when nobody recorded, nor from after the attach.
        said = told(NAME, "--since", f"{time.monotonic() - begun:.3f}s", code=0)
        sockproxy("detach", NAME)
    assert [each["action"] for each in said["actions"]] == ["attached", "changed"]
    assert all(f"attach {NAME}" in each["command"] for each in said["actions"])
    assert len(said["skipped"]) == 6
    assert {each["pid"] for each in said["skipped"]} == {os.getpid()}
    assert all(each["bypassed_bytes"] for each in said["skipped"])
    assert said["missing"] == []
    program = said["skipped"][0]["program"]
    assert len(told("--program", program, code=1)["skipped"]) == 6  # of a day, all of it is not
    shown = run_sockproxy("audit", NAME)
    assert shown.returncode == 1
    assert program in shown.stdout
    assert "This may not be all" in shown.stdout
    assert "detached" in shown.stdout


def test_a_recorder_that_is_killed_is_missed(bypassed):
    with recording() as process:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1.5)
        process.kill()
        process.wait()
    time.sleep(1.2)
    with recording():
        said = told("--since", "60s", code=1)
        again = run_sockproxy("audit", "--record")
        assert (again.returncode, "another records already" in again.stderr) == (1, True)
    assert len(said["missing"]) == 2  # before the first, and between the two


def test_what_cannot_be_done(monkeypatch, folder):
    assert "leave out" in sockproxy("audit", "web", "--record", code=2)
    assert "nobody recorded" in run_sockproxy("audit").stdout
    monkeypatch.setenv("SOCKPROXY_AUDIT", "off")
    assert "no trail is kept" in sockproxy("audit", code=2)
    folder.mkdir(exist_ok=True)
    monkeypatch.setenv("SOCKPROXY_AUDIT", "/proc/none")
    assert "write /proc/none" in sockproxy("audit", "--record", code=1)

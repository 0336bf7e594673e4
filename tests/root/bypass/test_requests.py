"""What attach and detach are asked for that is none, or is done already: nothing of it stays."""

from __future__ import annotations

import pytest

from sockproxy.rundir import pins, sight
from tests.support.bypass import NAME, sockproxy, status

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("observe")]


def test_detach_is_idempotent_and_leaves_nothing(group):
    """That nothing is left is looked for after each test."""
    sockproxy("attach", NAME, "--cgroup", group.path, "--observe")
    assert "detached" in sockproxy("detach", NAME)
    assert "was not attached" in sockproxy("detach", NAME)
    sockproxy("status", NAME, code=1)


def test_what_a_killed_attach_left_is_collected(group):
    """By whoever comes next, for another NAME as well."""
    with pins.locked(NAME, print) as held:
        for left in ("~half", "+half", f"~{NAME}"):
            held.place.at(left).mkdir(mode=0o700)
        held.place.at("keep").mkdir(mode=0o700)  # so that the place stays for the next step
    try:
        pins.collect()
        with pins.locked(NAME, print) as held:
            assert held.place.names() == [f"+{NAME}", "keep"]
    finally:
        with pins.locked("keep", print) as held:
            held.remove()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["bad.name", "--cgroup", "{group}", "--observe"], 2),
        ([NAME, "--cgroup", "/tmp", "--observe"], 2),
        ([NAME, "--cgroup", "{group}/absent", "--observe"], 2),
        ([NAME, "--cgroup", "{group}/../../..", "--observe"], 2),
        ([NAME, "--cgroup", "{group}/cgroup.procs", "--observe"], 2),
        ([NAME, "--cgroup", "{group}/cgroup.procs/x", "--observe"], 2),
        ([NAME, "--cgroup", "{group}/" + "x" * 300, "--observe"], 2),
        ([NAME, "--cgroup", "{group}/" + "x/" * 5000, "--observe"], 2),
        ([NAME, "--cgroup", "/proc/self/fd/99", "--observe"], 2),
        ([NAME, "--observe"], 2),
        ([NAME, "--cgroup", "{group}", "--observe", "--deny", "nonsense"], 2),
        ([NAME, "--cgroup", "{group}", "--observe", "--budget", "1"], 2),
        ([NAME, "--unit", "no-such.service", "--observe"], 1),
    ],
)
def test_bad_requests_leave_nothing(group, arguments, code):
    arguments = [each.format(group=group.path) for each in arguments]
    sockproxy("attach", *arguments, code=code)
    assert NAME not in sight.names()


def test_a_cgroup_is_what_its_path_leads_to(group, tmp_path):
    """Through links and '..', out of the hierarchy or into it."""
    (tmp_path / "in").symlink_to(group.path)
    (tmp_path / "round").symlink_to("round")
    sockproxy("attach", NAME, "--cgroup", tmp_path / "round", "--observe", code=2)
    out = sockproxy("attach", NAME, "--cgroup", tmp_path / "in", "--observe")
    try:
        assert str(group.path) in out
        assert status()["cgroup"] == str(group.path)
        assert "changed" in sockproxy(
            "attach", NAME, "--cgroup", group.path / ".." / group.path.name, "--observe"
        )
    finally:
        sockproxy("detach", NAME)


def test_another_cgroup_is_refused(attached):
    inner = attached.child("inner").create()
    try:
        text = sockproxy("attach", NAME, "--cgroup", inner.path, "--observe", code=2)
        assert "detach" in text
    finally:
        inner.remove()

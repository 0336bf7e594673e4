"""A detach that fails at any of its steps leaves NAME attached, and the next one goes on."""

from __future__ import annotations

import pytest

from sockproxy.bpf.abi import Mode
from sockproxy.bypass import detach as detaching
from sockproxy.bypass.attach import attach
from sockproxy.bypass.detach import detach
from sockproxy.bypass.options import BypassOptions
from sockproxy.errors import KernelError, SockproxyError
from tests.support.fake_bypass import FakeBypassKernel

NAME = "unit"
STEPS = ["lock", "open", "stop", "take out", "count", "remove"]


@pytest.fixture
def kernel(group):
    """One on which NAME is attached."""
    kernel = FakeBypassKernel()
    attach(NAME, group, BypassOptions(force=True), kernel=kernel)
    kernel.done.clear()
    return kernel


def test_the_steps_of_a_detach(kernel):
    assert detach(NAME, 0, kernel=kernel) == detaching.Detached(True)
    assert kernel.done == STEPS
    assert (kernel.left, kernel.names) == ([], {})


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_fails_is_told_of_and_tried_again(kernel, step):
    kernel.fail = step
    with pytest.raises(KernelError, match=f"fake {step}"):
        detach(NAME, 0, kernel=kernel)
    assert kernel.done == STEPS[: STEPS.index(step)]
    assert (kernel.left, list(kernel.names)) == ([], [NAME])
    kernel.fail = 0
    assert detach(NAME, 0, kernel=kernel).drained
    assert (kernel.left, kernel.names) == ([], {})


def test_what_is_unread_stays_until_the_time_is_up(kernel):
    kernel.unread = ["one"]
    done = detach(NAME, 0.05, kernel=kernel)
    assert (done.was_attached, done.left, done.drained, done.unseen) == (True, ["one"], False, 0)
    assert kernel.names[NAME]["settings"].mode is Mode.DRAIN
    assert kernel.done.count("stop") == 1
    assert kernel.done.count("take out") > 1
    kernel.unread = []
    assert detach(NAME, 0, kernel=kernel).drained
    assert kernel.names == {}


def test_what_cannot_be_seen_is_counted(kernel):
    kernel.sees_sockmap, kernel.unread = False, ["one", "other"]
    done = detach(NAME, 0, kernel=kernel)
    assert (done.left, done.drained, done.unseen) == ([], False, 2)


def test_attached_again_meanwhile(kernel, group, monkeypatch):
    kernel.unread = ["one"]

    def attach_again(_seconds):
        attach(NAME, group, BypassOptions(force=True), kernel=kernel)

    monkeypatch.setattr(detaching.time, "sleep", attach_again)
    with pytest.raises(SockproxyError, match="attached again meanwhile"):
        detach(NAME, 10, kernel=kernel)
    assert kernel.names[NAME]["settings"].mode is Mode.BYPASS
    assert kernel.left == []


def test_one_of_another_cgroup_is_left(kernel):
    number = kernel.names[NAME]["settings"].cgroup
    assert not detach(NAME, 0, only=number + 1, kernel=kernel).was_attached
    assert kernel.names[NAME]["settings"].mode is Mode.BYPASS
    assert detach(NAME, 0, only=number, kernel=kernel).was_attached


def test_what_is_not_attached(kernel):
    assert not detach("other", 0, kernel=kernel).was_attached
    kernel.elsewhere = "other is on the bpffs of another mount namespace"
    with pytest.raises(SockproxyError, match="another mount namespace"):
        detach("other", 0, kernel=kernel)
    assert kernel.done == []
    assert detach(NAME, 0, kernel=kernel).was_attached

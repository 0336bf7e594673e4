"""What is attached becomes what pods ask for, whatever was there and whatever fails."""

from __future__ import annotations

import pytest

from sockproxy.agent.conditions import Reason
from sockproxy.agent.reconcile import LONGEST_DELAY, Limits, Reconciler
from tests.support.fake_node import FakeBypasses


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def stepped(tmp_path, clock):
    """A function: a reconciler of these bypasses."""
    return lambda bypasses, names=4: Reconciler(bypasses, Limits(names, tmp_path), clock)


def reasons(step):
    return [each.reason for each in step.conditions.values()]


def test_pods_of_one_name_are_in_one_bypass(stepped, place):
    bypasses = FakeBypasses()
    reconciler = stepped(bypasses)
    step = reconciler.step([place(1), place(2), place(3, "other")])
    assert bypasses.done == ["attach k8s-mesh", "attach k8s-other"]
    assert [len(ids) for ids in bypasses.names.values()] == [2, 1]
    assert (reasons(step), step.names, step.retry_in) == ([Reason.BYPASSED] * 3, 2, None)


def test_nothing_is_done_where_nothing_has_changed(stepped, place):
    bypasses, pods = FakeBypasses(), [place(1)]
    reconciler = stepped(bypasses)
    for _ in range(3):
        reconciler.step(pods)
    assert bypasses.done == ["attach k8s-mesh"]


def test_pods_come_and_go(stepped, place):
    bypasses, pods = FakeBypasses(), [place(number) for number in range(3)]
    reconciler = stepped(bypasses)
    for now in (pods[:1], pods[:2], pods[1:], pods[1:2], []):
        reconciler.step(now)
    assert bypasses.done == ["attach k8s-mesh"] * 4 + ["detach k8s-mesh"]
    assert bypasses.names == {}


def test_a_new_agent_goes_on_with_what_it_finds(stepped, place, tmp_path):
    """It gives them its options, takes what nobody asks for, and finds what was left."""
    pod = place(1)
    number = next((tmp_path / "kubepods/burstable").iterdir()).stat().st_ino
    bypasses = FakeBypasses(k8s_mesh=[number], k8s_gone=[12345])
    reconciler = stepped(bypasses)
    reconciler.step([pod])
    assert bypasses.done == ["detach k8s-gone", "attach k8s-mesh"]
    reconciler.step([pod])
    bypasses.stale = {"k8s-mesh"}
    reconciler.step([pod])
    assert bypasses.done[2:] == ["attach k8s-mesh"]


def test_a_pod_whose_cgroup_is_not_there_waits(stepped, place):
    bypasses = FakeBypasses()
    step = stepped(bypasses).step([place(1, cgroup=False)])
    assert (reasons(step), bypasses.done) == ([Reason.PENDING], [])


def test_a_flood_of_names_drives_out_nobody(stepped, place):
    bypasses, first = FakeBypasses(), place(999, "first")
    reconciler = stepped(bypasses, names=4)
    reconciler.step([first])
    flood = [place(number, f"flood-{number}") for number in range(50)]
    step = reconciler.step([*flood, first])
    assert len(bypasses.names) == step.names == 4
    assert step.conditions[first.uid].reason is Reason.BYPASSED
    assert reasons(step).count(Reason.TOO_MANY) == 47
    told = {each.told for each in step.conditions.values() if each.reason is Reason.TOO_MANY}
    assert all("--max-names" in each for each in told)


def test_a_bad_name_takes_nothing_from_the_others(stepped, place):
    bypasses = FakeBypasses()
    step = stepped(bypasses).step([place(1, "../x"), place(2)])
    assert reasons(step) == [Reason.BAD_NAME, Reason.BYPASSED]


def test_a_failure_is_told_and_tried_again_ever_later(stepped, place, clock):
    bypasses, pods = FakeBypasses(), [place(1), place(2, "other")]
    bypasses.fail = {"k8s-mesh"}
    reconciler = stepped(bypasses)
    step = reconciler.step(pods)
    assert step.conditions[pods[0].uid].reason is Reason.FAILED
    assert "plain TCP" in step.conditions[pods[0].uid].told
    assert step.conditions[pods[1].uid].reason is Reason.BYPASSED
    waits = []
    for _ in range(12):
        waits.append(step.retry_in)
        tried = bypasses.done.count("attach k8s-mesh")
        assert reconciler.step(pods).retry_in == step.retry_in  # it waits
        assert bypasses.done.count("attach k8s-mesh") == tried
        clock.now += step.retry_in
        step = reconciler.step(pods)
        assert bypasses.done.count("attach k8s-mesh") == tried + 1
    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(LONGEST_DELAY)
    bypasses.fail = set()
    clock.now += LONGEST_DELAY
    step = reconciler.step(pods)
    assert (reasons(step), step.failed, step.retry_in) == ([Reason.BYPASSED] * 2, [], None)


def test_what_does_not_drain_is_told_and_tried_again(stepped, place, clock):
    bypasses = FakeBypasses(k8s_mesh=[1])
    bypasses.drained = False
    reconciler = stepped(bypasses)
    assert "unread" in reconciler.step([]).failed[0]
    bypasses.drained, clock.now = True, clock.now + 1
    assert (reconciler.step([]).failed, bypasses.names) == ([], {})


def test_one_that_only_observes_says_why(stepped, place):
    bypasses = FakeBypasses()
    bypasses.observes = "the kernel refuses"
    step = stepped(bypasses).step([place(1)])
    (condition,) = step.conditions.values()
    assert (condition.reason, "the kernel refuses" in condition.told) == (Reason.OBSERVED, True)


def test_where_pins_cannot_be_seen_all_pods_say_so(stepped, place):
    bypasses = FakeBypasses()
    bypasses.blind = True
    step = stepped(bypasses).step([place(1), place(2, "../x")])
    assert (reasons(step), step.retry_in is not None) == ([Reason.FAILED] * 2, True)


def test_all_are_detached_at_the_end_if_asked(stepped, place):
    bypasses = FakeBypasses()
    reconciler = stepped(bypasses)
    reconciler.step([place(1), place(2, "other")])
    bypasses.fail = {"k8s-other"}
    assert reconciler.detach_all() == ["k8s-other: fake detach"]
    assert list(bypasses.names) == ["k8s-other"]

"""An attach that fails at any of its steps leaves nothing, and says what failed."""

from __future__ import annotations

import errno
import inspect

import pytest

from sockproxy.bpf import bypass_seam
from sockproxy.bpf.abi import Mode
from sockproxy.bypass.attach import attach
from sockproxy.bypass.options import BypassOptions
from sockproxy.errors import KernelError, SockproxyError, Unsupported, UsageError
from tests.support import fake_bypass
from tests.support.fake_bypass import FakeBypassKernel

NAME = "unit"
MAPS = [
    *("pin settings", "pin knobs", "pin totals", "pin sockets", "pin left_alone"),
    *("pin acceptors", "pin namespaces", "pin wakers", "pin drains"),
    *("pin listeners", "pin rings", "pin observed"),
]
PROGRAMS = [
    *("bypass_sock_ops", "bypass_message", "bypass_read", "bypass_arrival", "bypass_setsockopt"),
    *("list_storage", "look_up_socket", "bypass_leaving", "bypass_middle", "join_past_proxy"),
    *("bypass_result", "bypass_asked", "bypass_asked_in"),
]
STEPS = [
    *("lock", "load", "learn wakers", "write", "make", *MAPS),
    *(f"{verb} {each}" for each in PROGRAMS for verb in ("attach", "pin")),
    *("publish", "open", "add", "keep", "begin"),
]
BEFORE_PUBLISHED = STEPS[: STEPS.index("publish") + 1]
UNDO = {"lock": "unlock", "load": "unload", "make": "discard"}


def attached(kernel, group, also=(), **options):
    return attach(NAME, group, BypassOptions(force=True, **options), also=also, kernel=kernel)


def undone(done):
    """What has to be taken back after these steps, in its order: the last one first."""
    expected = []
    for step in reversed(done):
        verb, _, what = step.partition(" ")
        if verb == "pin":
            expected.append(f"unpin {what}")
        elif verb == "attach" and f"pin {what}" not in done:
            expected.append(f"detach {what}")
        elif step in UNDO:
            expected.append(UNDO[step])
    return expected


def test_the_steps_of_an_attach(group):
    """By the links to the cgroup sockets enter: all else is there then."""
    kernel = FakeBypassKernel()
    done = attached(kernel, group)
    assert (done.changed, done.observes, done.cgroups) == (False, False, (group,))
    assert kernel.done == STEPS
    assert kernel.names[NAME]["settings"].cgroup == group.stat().st_ino
    assert kernel.names[NAME]["settings"].mode is Mode.BYPASS
    assert kernel.left == []
    assert kernel.undone == ["unload", "unlock"]


@pytest.mark.parametrize("step", BEFORE_PUBLISHED)
def test_a_step_that_fails_takes_back_all_before_it(group, step):
    kernel = FakeBypassKernel(fail=STEPS.index(step) + 1)
    with pytest.raises(KernelError) as caught:
        attached(kernel, group)
    assert caught.value.failure == f"fake {step}: Cannot allocate memory (ENOMEM)"
    assert kernel.done == STEPS[: STEPS.index(step)]
    assert kernel.undone == undone(kernel.done)
    assert (kernel.left, kernel.names) == ([], {})


@pytest.mark.parametrize("step", ["open", "add", "keep", "begin"])
def test_what_cannot_be_looked_at_is_detached_again(group, step):
    kernel = FakeBypassKernel(fail=step)
    with pytest.raises(KernelError, match=f"fake {step}"):
        attached(kernel, group)
    assert kernel.done[-1] == "remove"
    assert (kernel.left, kernel.names) == ([], {})


def test_nothing_is_enrolled_before_the_last_step(group):
    """So that what fails before it has nothing to lose."""
    kernel = FakeBypassKernel(fail="begin")
    seen = []
    kernel.removing = lambda about: seen.append(about["settings"].mode)
    with pytest.raises(KernelError):
        attached(kernel, group)
    assert seen == [Mode.DRAIN]


@pytest.mark.parametrize("step", BEFORE_PUBLISHED[1:])
def test_a_step_that_is_refused_for_good_is_told_of(group, step):
    """By an errno that does not pass: all ways there are are tried, and nothing of any stays."""
    kernel = FakeBypassKernel(fail=step, number=errno.EACCES)
    only_newest = step.removeprefix("attach ").removeprefix("pin ")
    if only_newest in ("bypass_arrival", "bypass_result"):
        attached(kernel, group)  # kernels of old do without
        assert only_newest not in kernel.names[NAME]["pins"]
        assert kernel.left == []
        return
    with pytest.raises(KernelError) as caught:
        attached(kernel, group)
    assert caught.value.failure == f"fake {step}: Permission denied (EACCES)"
    assert (kernel.left, kernel.names) == ([], {})


@pytest.mark.parametrize("step", ["lock", "open", "change", "begin"])
def test_a_change_that_fails_leaves_what_was(group, step):
    kernel = FakeBypassKernel()
    attached(kernel, group)
    before = dict(kernel.names[NAME])
    kernel.fail = step
    with pytest.raises(KernelError, match=f"fake {step}"):
        attached(kernel, group, budget=8192)
    assert kernel.left == []
    assert kernel.names[NAME]["pins"] == before["pins"]
    if step != "begin":  # by then the change is in force
        assert kernel.names[NAME] == before
    kernel.fail = 0
    assert attached(kernel, group, budget=8192).changed
    assert kernel.names[NAME]["settings"].budget == 8192
    assert kernel.names[NAME]["settings"].since == before["settings"].since


def test_the_steps_of_a_change(group):
    kernel = FakeBypassKernel()
    attached(kernel, group)
    kernel.done.clear()
    assert attached(kernel, group, observe=True).observes
    assert kernel.done == ["lock", "open", "change", "keep", "begin"]


def test_cgroups_come_and_go(group):
    """What cannot be done leaves what was there."""
    others = [group.with_name(f"other{number}") for number in range(2)]
    for each in others:
        each.mkdir()
    first, second, third = (each.stat().st_ino for each in (group, *others))
    kernel = FakeBypassKernel()
    attached(kernel, group, also=others[:1])
    about = kernel.names[NAME]
    assert about["cgroups"] == {first, second}
    kernel.fail = "begin"
    with pytest.raises(KernelError):
        attached(kernel, others[0], also=others[1:])
    assert (about["cgroups"] - {third}, about["left"] - {third}) == ({second}, {first})
    kernel.fail = 0
    attached(kernel, others[0], also=others[1:])
    assert (about["cgroups"], about["left"]) == ({second, third}, {first})
    assert about["settings"].cgroup == second
    attached(kernel, group, also=others)
    assert (about["cgroups"], about["left"]) == ({first, second, third}, set())


def test_one_cgroup_in_another_is_refused(group):
    inner = group / "inner"
    inner.mkdir()
    kernel = FakeBypassKernel()
    with pytest.raises(UsageError, match="it lies in"):
        attached(kernel, group, also=[inner])
    assert kernel.tried == 0


def test_another_cgroup_is_refused(group):
    kernel = FakeBypassKernel()
    attached(kernel, group)
    with pytest.raises(UsageError, match="detach unit first"):
        attached(kernel, group.parent)
    assert kernel.done[-1] == "open"
    assert (kernel.left, list(kernel.names)) == ([], [NAME])
    other = group.with_name("other")
    other.mkdir()
    attach(NAME, other, BypassOptions(force=True), may_move=True, kernel=kernel)
    assert kernel.names[NAME]["cgroups"] == {other.stat().st_ino}


def test_what_was_attached_to_observe_may_lack_what_a_bypass_needs(group):
    kernel = FakeBypassKernel(refused={"bypass_read"})
    attached(kernel, group, observe=True)
    with pytest.raises(Unsupported, match="nothing tells whether a reader sees") as caught:
        attached(kernel, group)
    assert f"detach {NAME} first" in caught.value.hint
    assert kernel.left == []


@pytest.mark.parametrize("wrong", [{"budget": 1}, {"rules": [None] * 1000}, {"programs": [""]}])
def test_options_that_are_none_come_to_no_step(group, wrong):
    kernel = FakeBypassKernel()
    with pytest.raises(SockproxyError):
        attached(kernel, group, **wrong)
    assert kernel.tried == 0


@pytest.mark.parametrize(
    ("protocol", "fake"),
    [
        (bypass_seam.BypassKernel, FakeBypassKernel),
        (bypass_seam.Held, fake_bypass.FakeHeld),
        (bypass_seam.Loaded, fake_bypass.FakeLoaded),
        (bypass_seam.Made, fake_bypass.FakeMade),
        (bypass_seam.Opened, fake_bypass.FakeOpened),
    ],
)
def test_the_fake_has_what_the_seam_has(protocol, fake):
    for name, of_protocol in inspect.getmembers(protocol, inspect.isfunction):
        if not name.startswith("_"):
            wanted = list(inspect.signature(of_protocol).parameters)
            assert list(inspect.signature(getattr(fake, name)).parameters) == wanted

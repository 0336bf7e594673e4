"""Every program of every object is refused in turn: what an attach does without it, and tells."""

from __future__ import annotations

import pytest

from sockproxy.bpf.bypass_roles import ROLES
from sockproxy.bypass.attach import IN_VAIN, attach
from sockproxy.bypass.options import BypassOptions
from sockproxy.errors import PermissionDenied, SockproxyError, Undecided, Unsupported
from sockproxy.proof.mechanisms import BYPASS, OBSERVE
from sockproxy.proof.proof import RIGHTS, Proof
from tests.support.fake_bypass import LEARN_WAKER, FakeBypassKernel

NAME = "unit"
PROGRAMS = [each for role in ROLES for each in role.programs]
BEST = {each for role in ROLES for each in role.ways[0]}
# Without it there is no bypass, and why not. To observe only the first is needed.
NEEDED = {
    "bypass_sock_ops": "nothing tells which two sockets are the ends of a connection",
    "bypass_read": "nothing tells whether a reader sees what was bypassed to it",
    "bypass_setsockopt": "nothing keeps kTLS and SO_ZEROCOPY off sockets",
}
# What is attached in the place of others: programs that go, programs that come. Kernels before 6.3
# take neither of two, and what they take is tried before each program is tried by itself.
BEFORE_6_3 = ({"bypass_result", "bypass_arrival"}, {"bypass_redirected"})
INSTEAD = {
    "bypass_message": ({"bypass_message"}, {"bypass_message_blind"}),
    "bypass_arrival": BEFORE_6_3,
    "bypass_result": BEFORE_6_3,
    "bypass_asked": ({"bypass_asked", "bypass_asked_in"}, set()),
    "bypass_asked_in": ({"bypass_asked_in"}, set()),
    "list_storage": ({"list_storage"}, {"list_namespace"}),
    "look_up_socket": ({"look_up_socket"}, set()),
    "bypass_middle": ({"bypass_middle", "join_past_proxy"}, set()),
    "join_past_proxy": ({"bypass_middle", "join_past_proxy"}, set()),
}


def pinned(kernel):
    """The programs that NAME has."""
    return {each for each in kernel.names[NAME]["pins"] if each in PROGRAMS}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("observe", [False, True], ids=["bypass", "observe"])
def test_what_is_done_without_a_program(group, program, observe):
    kernel, told = FakeBypassKernel(refused={program}), []
    options = BypassOptions(force=True, observe=observe)
    why = NEEDED.get(program, "")
    if why and (not observe or program == "bypass_sock_ops"):
        with pytest.raises(Unsupported) as caught:
            attach(NAME, group, options, told.append, kernel=kernel)
        mode = "observe" if observe else "bypass"
        assert caught.value.doing.startswith(f"{mode}: {why}")
        refusal = f"({program}: Operation not permitted (EPERM): refused by a test)"
        assert refusal in caught.value.doing
        assert (kernel.left, kernel.names, told) == ([], {}, [])
        return
    done = attach(NAME, group, options, told.append, kernel=kernel)
    assert (done.observes, done.why_not) == (observe, "")
    gone, come = INSTEAD.get(program, ({program} & BEST, set()))
    assert pinned(kernel) == BEST - gone | come
    assert told == ([IN_VAIN] if "bypass_result" in gone and not observe else [])
    assert kernel.left == []


def test_without_the_program_that_learns_wakers_nothing_is_bypassed(group):
    """It is of another object: that of the bypass is not to blame, and not taken apart."""
    kernel = FakeBypassKernel(refused={LEARN_WAKER})
    with pytest.raises(Unsupported) as caught:
        attach(NAME, group, BypassOptions(force=True), kernel=kernel)
    assert caught.value.log.startswith(LEARN_WAKER)
    assert (kernel.left, kernel.names) == ([], {})
    assert attach(NAME, group, BypassOptions(force=True, observe=True), kernel=kernel).observes


def test_all_programs_refused(group):
    kernel = FakeBypassKernel(refused=set(PROGRAMS))
    for observe in (False, True):
        with pytest.raises(Unsupported, match="nothing tells which two sockets"):
            attach(NAME, group, BypassOptions(force=True, observe=observe), kernel=kernel)
    assert (kernel.left, kernel.names) == ([], {})


OFF, UNKNOWN = Proof(failed={"probe": "it stalls"}), Proof(unknown={"probe": "no time"})
NO_RIGHTS = Proof(failed={RIGHTS: "none"})


def test_where_doctor_finds_the_bypass_off_it_observes(group, proved):
    proved({BYPASS: OFF, OBSERVE: Proof()})
    kernel = FakeBypassKernel()
    done = attach(NAME, group, BypassOptions(), kernel=kernel)
    assert done.observes
    assert "bypass is off on this kernel: probe: it stalls" in done.why_not
    assert attach(NAME, group, BypassOptions(force=True), kernel=kernel).observes is False


@pytest.mark.parametrize(
    ("bypass", "observe", "kind", "told"),
    [
        (OFF, OFF, Unsupported, "bypass is off"),
        (UNKNOWN, Proof(), Undecided, "could not find out whether bypass"),
        (OFF, UNKNOWN, Undecided, "could not find out whether observe"),
        (NO_RIGHTS, NO_RIGHTS, PermissionDenied, "for want of rights"),
    ],
)
def test_where_nothing_is_proved_nothing_is_attached(group, proved, bypass, observe, kind, told):
    proved({BYPASS: bypass, OBSERVE: observe})
    kernel = FakeBypassKernel()
    with pytest.raises(SockproxyError, match=told) as caught:
        attach(NAME, group, BypassOptions(), kernel=kernel)
    assert type(caught.value) is kind
    assert kernel.tried == 0

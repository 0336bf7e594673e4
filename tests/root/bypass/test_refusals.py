"""Each program of each object refused, alone and in pairs: what stays on, and how it is done then.

The table of docs/refusals.md is made here: SOCKPROXY_RECORD=1 writes it anew.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from pathlib import Path

import pytest

from sockproxy.bpf.splice import SockmapKernel
from sockproxy.bypass.attach import attach
from sockproxy.bypass.detach import detach
from sockproxy.bypass.options import BypassOptions
from sockproxy.bypass.view import bypass_connections, bypass_status
from sockproxy.errors import SockproxyError
from sockproxy.net.tcp import socket_cookie
from sockproxy.rundir import sight
from tests.support.bypass import NAME, converse
from tests.support.refused import refuse, refused_here
from tests.support.sockets import tcp_pair

pytestmark = [pytest.mark.root, pytest.mark.bpf]

PAGE = Path(__file__).resolve().parents[3] / "docs" / "refusals.md"
MARK = "<!-- made by tests/root/bypass/test_refusals.py -->"
# What each needs: of every set, one program.
NEEDS = {
    "splice": [{"splice_parser"}, {"splice_verdict"}, {"inspect_slot"}],
    "splice, verdict only": [{"splice_verdict_only"}, {"inspect_slot"}],
    "sock_ops enrolment": [{"enrol_established"}],
    "observe": [{"bypass_sock_ops"}],
    "bypass": [
        {"bypass_sock_ops"},
        {"bypass_message", "bypass_message_blind"},
        {"bypass_read"},
        {"bypass_arrival", "bypass_redirected"},
        {"bypass_setsockopt"},
    ],
}
LISTING = ("list_storage", "list_namespace", "look_up_socket")
SPLICE = sorted(set().union(*(each for name in list(NEEDS)[:3] for each in NEEDS[name])))
BYPASS = [*sorted(set().union(*(each for name in list(NEEDS)[3:] for each in NEEDS[name])))]
BYPASS += LISTING
CASTS = "try_casts"
SHORT_CIRCUIT = ("bypass_middle", "join_past_proxy")
LEAVING = "bypass_leaving"
BYPASS += [LEAVING, *SHORT_CIRCUIT, CASTS]
BOTH = [*SPLICE, *BYPASS]


def expected(refused):
    """What is on, and how connections are listed."""
    on = {name: not any(each <= refused for each in needs) for name, needs in NEEDS.items()}
    if on["sock_ops enrolment"]:
        on["sock_ops enrolment"] = on["splice"]  # whose sockets it enrols
    ways = zip(LISTING, ("storage", "namespaces", "lookups"), strict=True)
    lists_by = next((way for program, way in ways if program not in refused), "nothing")
    return on, lists_by if on["observe"] else ""


def works(do):
    try:
        do()
    except SockproxyError as error:
        refused = error
    else:
        return True
    assert refused.hint, f"it does not say what to do: {refused}"
    return False


def try_splice(group, *, parser, enrol=False):
    with contextlib.closing(SockmapKernel(8, parser=parser)) as kernel:
        if enrol:
            with group.opened() as fd:
                kernel.watch_cgroup(fd)
            for each in tcp_pair():
                each.close()
            assert kernel.enrolments()["enrolled"] == 2


@contextlib.contextmanager
def attached(group, *, observe):
    assert not attach(
        NAME,
        group.path,
        BypassOptions(observe=observe, force=True, blocking_readers=True, any_reader=True),
    ).changed
    try:
        yield
    finally:
        detach(NAME, 5)
        assert NAME not in sight.names()


def try_bypass(group, *, observe, lists_by):
    """A conversation that outlives a detach, if sockets can be looked at."""
    with contextlib.ExitStack() as stack:
        with attached(group, observe=observe):
            one, other = (stack.enter_context(each) for each in tcp_pair())
            converse(one, other)
            seen = bypass_status(NAME)
            assert seen["lists_by"] == lists_by
            assert seen["paired"] == 1
            if not observe:
                listed = {each["cookie"] for each in bypass_connections(NAME)["connections"]}
                ends = {socket_cookie(one), socket_cookie(other)}
                assert ends == listed if lists_by != "nothing" else not listed
            assert seen["live"] + seen["unseen"] == 2
            one.sendall(b"!")
            if lists_by == "nothing" and not observe:
                left = detach(NAME, 0)
                assert (left.drained, left.unseen) == (False, 2)
                one.close()
                other.close()
                return
            if not observe:
                done = detach(NAME, 0)
                assert (done.drained, len(done.left)) == (False, 1)
            assert other.recv(100) == b"!"
            assert detach(NAME, 5).drained
        converse(one, other)


def observed(group, names, lists_by):
    """What really works of these."""
    found = {}
    for name in names:
        found[name] = works(
            {
                "splice": lambda: try_splice(group, parser=True),
                "splice, verdict only": lambda: try_splice(group, parser=False),
                "sock_ops enrolment": lambda: try_splice(group, parser=True, enrol=True),
                "observe": lambda: try_bypass(group, observe=True, lists_by=lists_by),
                "bypass": lambda: try_bypass(group, observe=False, lists_by=lists_by),
            }[name]
        )
    return found


@pytest.fixture(scope="module")
def natural():
    return refused_here()


def mechanisms_of(programs):
    return [name for name in NEEDS if (name in list(NEEDS)[:3]) == (programs[0] in SPLICE)]


PAIRS = [
    *itertools.combinations(SPLICE, 2),
    *itertools.combinations(BYPASS, 2),
    LISTING,
]


# Those of one role are for each other; what the others come to is seen in the soak.
OF_ONE_ROLE = [*map(set, itertools.combinations(LISTING, 2)), set(LISTING)]
OF_ONE_ROLE += [each for needs in NEEDS.values() for each in needs]
CASES = [(each,) for each in BOTH] + [
    pytest.param(each, marks=[] if set(each) in OF_ONE_ROLE else pytest.mark.soak) for each in PAIRS
]


def named(programs):
    return "+".join(programs)


@pytest.mark.parametrize("programs", CASES, ids=named)
def test_only_what_it_gives_is_taken_away(group, natural, monkeypatch, programs):
    refuse(monkeypatch, programs)
    on, lists_by = expected({*programs, *natural})
    names = mechanisms_of(programs)
    if len(programs) > 1 and on["bypass"]:
        names = [name for name in names if name != "observe"]  # it needs less, as seen alone
    assert observed(group, names, lists_by) == {name: on[name] for name in names}


def row(program):
    on, lists_by = expected({program})
    off = [name for name in NEEDS if not on[name]]
    instead = {
        "bypass_message": "`bypass_message_blind`",
        "bypass_arrival": "`bypass_redirected`",
        "list_storage": "`list_namespace` in each network namespace, and `look_up_socket`",
        LEAVING: "no cgroup leaves a bypass that others stay in",
        **dict.fromkeys(SHORT_CIRCUIT, "what goes through a proxy is not short-circuited"),
        CASTS: "programs in which each load is a call: a message costs more",
        "enrol_established": "sockets are enrolled when their pair is made",
    }.get(program, "")
    assert lists_by or program == "bypass_sock_ops"
    return f"| `{program}` | {', '.join(off) or 'nothing'} | {instead} |"


def test_the_page_has_the_table():
    table = ["| refused | off | instead |", "|---|---|---|", *map(row, BOTH)]
    text = PAGE.read_text()
    before = text.partition(MARK)[0]
    made = f"{before}{MARK}\n\n" + "\n".join(table) + "\n"
    if os.environ.get("SOCKPROXY_RECORD"):
        PAGE.write_text(made)
    assert text == made, "SOCKPROXY_RECORD=1 writes it"

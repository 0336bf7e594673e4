"""attach, run, proxy and the library obey doctor, and say why; --force does not ask."""

from __future__ import annotations

import json
import sys

import pytest

import sockproxy
from sockproxy.proof.ask import keep
from sockproxy.proof.mechanisms import BYPASS, MECHANISMS, OBSERVE, SPLICE
from sockproxy.proof.proof import Proof
from sockproxy.rundir import sight
from tests.support.bypass import NAME, status
from tests.support.bypass import sockproxy as command
from tests.support.proxy import running_proxy
from tests.support.record import restored_record
from tests.support.sockets import receive, tcp_pair

pytestmark = [pytest.mark.root, pytest.mark.bpf]
WHY = "early data: round 3"


@pytest.fixture
def switch_off():
    """A function: doctor has found these mechanisms off."""

    def switch(*names, probe="early data"):
        found = Proof({probe: "round 3"})
        keep({name: found if name in names else Proof() for name in MECHANISMS})

    with restored_record():
        yield switch


def attach(group, *options, code=0):
    return command("attach", NAME, "--cgroup", group.path, "--json", *options, code=code)


def test_attach_observes_where_the_bypass_is_off(group, switch_off):
    switch_off(BYPASS)
    told = json.loads(attach(group))
    try:
        assert (told["result"], told["mode"]) == ("attached", "observing")
        assert WHY in told["why_not"]
        assert status()["mode"] == "observe"
        told = json.loads(attach(group, "--force"))
        assert (told["result"], told["mode"], told["why_not"]) == ("changed", "bypassing", None)
    finally:
        command("detach", NAME)


def test_attach_refuses_where_not_even_that_is_to_be_had(group, switch_off):
    switch_off(BYPASS, OBSERVE)
    for options in ((), ("--observe",)):
        told = attach(group, *options, code=4)
        assert len(told.splitlines()) == 1
        assert WHY in told
        assert "--force" in told
    assert NAME not in sight.names()
    attach(group, "--force")
    command("detach", NAME)


def test_want_of_rights_is_not_the_kernels_fault(group, switch_off):
    switch_off(BYPASS, OBSERVE, probe="capabilities")
    assert "run as root" in attach(group, code=3)


@pytest.mark.parametrize("off", [(BYPASS,), (BYPASS, OBSERVE)], ids=["observes", "plain"])
def test_run_runs_by_plain_tcp(switch_off, off):
    switch_off(*off)
    code = "import sys; print('ran', file=sys.stderr); sys.exit(7)"
    told = command("run", NAME, "--", sys.executable, "-c", code, code=7)
    assert "ran" in told
    assert f"by plain TCP: {'attach a bypass: ' if OBSERVE in off else ''}bypass is off" in told
    assert WHY in told


def test_the_library_relays(switch_off):
    switch_off(SPLICE)
    with sockproxy.Splicer(eager=True) as splicer:
        assert not splicer.accelerated
        assert WHY in splicer.why_not
        client, a = tcp_pair()
        server, b = tcp_pair()
        with client, server:
            splice = splicer.splice(a, b)
            client.sendall(b"all the same")
            assert receive(server, 12) == b"all the same"
            assert WHY in splice.stats().forward.why
    with sockproxy.Splicer(force=True) as splicer:
        assert splicer.accelerated


def test_the_proxy_relays_and_says_why(switch_off):
    switch_off(SPLICE)
    with running_proxy(("127.0.0.1", 9)) as proxy:
        proxy.says(WHY)
        proxy.says("relaying in user space")
    with running_proxy(("127.0.0.1", 9), "--force") as proxy:
        proxy.says("accelerated")


def test_a_verdict_without_a_parser_takes_force():
    told = command(
        "proxy", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:9", "--verdict-only", code=2
    )
    assert "--verdict-only without --force loses the promise" in told
    with sockproxy.Splicer(parser=False) as splicer:
        assert "come twice" in splicer.why_not

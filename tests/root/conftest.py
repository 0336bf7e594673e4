"""Fixtures that need root: a cgroup for this process, and bypasses attached to it."""

from __future__ import annotations

import pytest
from pyroute2 import NetNS

from sockproxy.bypass.attach import attach
from sockproxy.bypass.detach import detach
from sockproxy.bypass.options import BypassOptions
from sockproxy.cgroup import create_owned
from sockproxy.rundir import sight
from tests.support.bypass import NAME, status
from tests.support.namespace import Namespace


@pytest.fixture
def group():
    """A cgroup that this process is in, with all the sockets that it opens."""
    made = create_owned("bypass")
    made.enter()
    yield made
    made.remove()


@pytest.fixture
def bypassed(group):
    """The same, with a bypass named NAME on it."""
    # Not by the command line: starting Python twice takes longer than many a test.
    done = attach(NAME, group.path, BypassOptions(blocking_readers=True, any_reader=True))
    assert not done.changed
    assert not done.observes, done.why_not
    yield group
    assert detach(NAME, 10).drained
    assert NAME not in sight.names()


@pytest.fixture(params=["plain", "bypassed"])
def bypassed_messages(request):
    """Runs the test twice; a function that tells how many messages skipped TCP so far.

    Plain, where there are none, it answers as if there were one.
    """
    if request.param == "plain":
        return lambda: 1
    request.getfixturevalue("bypassed")
    return lambda: status()["bypassed_messages"]


@pytest.fixture
def inside():
    """A network namespace whose settings may be changed."""
    made = Namespace(NAME)
    yield made
    made.remove()


@pytest.fixture
def two_namespaces():
    """Two namespaces with a veth between them: 10.99.0.1 and 10.99.0.2."""
    pair = [Namespace(f"{NAME}-{number}") for number in (1, 2)]
    try:
        with NetNS(pair[0].name) as ns:
            ns.link(
                "add", ifname="v0", kind="veth", peer={"ifname": "v0", "net_ns_fd": pair[1].name}
            )
        for number, each in enumerate(pair):
            with NetNS(each.name) as ns:
                index = ns.link_lookup(ifname="v0")[0]
                ns.addr("add", index=index, address=f"10.99.0.{number + 1}", prefixlen=24)
                ns.link("set", index=index, state="up")
        yield pair
    finally:
        for each in pair:
            each.remove()

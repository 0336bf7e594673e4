"""The agent with real bypasses, and an API server that says what a test has it say."""

from __future__ import annotations

import contextlib
import json
import signal
import sys

import pytest

from sockproxy.bypass.detach import detach
from sockproxy.cgroup import Cgroup
from sockproxy.rundir import sight
from tests.support.bypass import ALL_READERS, NAME, converse, sockproxy, status
from tests.support.fake_node import FakeServer
from tests.support.proxy import ROOT, started
from tests.support.scale import patience
from tests.support.servers import free_port, listens
from tests.support.sockets import eventually, tcp_pair

# It takes all that begins with its prefix for its own, on the whole machine.
pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.alone]
BYPASS = f"k8s-{NAME}"
UIDS = [f"00000000-0000-4000-8000-{number:012x}" for number in range(3)]


def listed(*uids, asked=NAME):
    """An answer: these are the node's pods."""
    items = [
        {
            "metadata": {
                "uid": uid,
                "name": f"pod-{uid[-1]}",
                "namespace": "default",
                "annotations": {"sockproxy.io/bypass": asked},
            },
            "status": {"phase": "Running"},
        }
        for uid in uids
    ]
    document = {"metadata": {"resourceVersion": "1"}, "items": items}
    return [(200, json.dumps(document).encode())]


@pytest.fixture
def pods(group):
    """The cgroups of three pods, by uid."""
    parent = group.child("kubepods").create()
    yield {uid: Cgroup(parent.path / f"pod{uid}").create() for uid in UIDS}
    detach(BYPASS, patience(10))


@pytest.fixture
def server(tmp_path):
    """An API server whose watches fail, so that the agent lists twice a second."""
    made = FakeServer(list=listed(*UIDS[:2]), watch=[(500, b"{}")], event=[(201, b"{}")])
    with made.running(tmp_path) as path:
        made.config = path
        yield made


@contextlib.contextmanager
def agent(server, group, *options):
    """`sockproxy agent`, once it has attached the bypass of its pods."""
    port = free_port()
    argv = [sys.executable, "-m", "sockproxy", "agent", "--node", "node1"]
    argv += ["--kubeconfig", server.config, "--listen", f"127.0.0.1:{port}"]
    argv += ["--cgroup-root", group.path, "--resync", "1s", *ALL_READERS, *options]
    with started(*argv, ready=lambda: listens(port), cwd=ROOT) as process:
        eventually(lambda: BYPASS in sight.names(), 60)
        yield process


def cgroups():
    return status(BYPASS)["cgroups"] if BYPASS in sight.names() else []


def ended(process, number=signal.SIGTERM):
    """What it printed; its exit status is checked."""
    process.send_signal(number)
    told, _ = process.communicate(timeout=patience(20))
    assert process.returncode == (0 if number == signal.SIGTERM else -number), told
    assert "Traceback" not in told
    return told


def test_pods_come_and_go(group, pods, server):
    with agent(server, group) as process:
        eventually(lambda: len(cgroups()) == 2, 20)
        with pods[UIDS[0]].entered():
            one, other = tcp_pair()
        with one, other:
            converse(one, other, times=20)
            assert status(BYPASS)["bypassed_messages"] > 0
            server.answers["list"] = listed(*UIDS[1:])
            eventually(lambda: cgroups() == [str(pods[uid].path) for uid in UIDS[1:]], 20)
            before = status(BYPASS)["bypassed_messages"]
            converse(one, other, times=20)
            assert status(BYPASS)["bypassed_messages"] == before + 40
        server.answers["list"] = listed(*UIDS, asked="../x")
        eventually(lambda: BYPASS not in sight.names(), 20)
        told = ended(process)
    assert "pod default/pod-0: Bypassed: by k8s-test" in told
    assert "pod default/pod-0: BadName: annotation" in told
    assert {each["reason"] for each in server.events} == {"Bypassed", "BadName"}


def test_what_is_attached_outlives_the_agent_and_is_found(group, pods, server):
    for number in (signal.SIGKILL, signal.SIGTERM):
        with agent(server, group) as process:
            eventually(lambda: len(cgroups()) == 2, 20)
            ended(process, number)
        assert len(cgroups()) == 2
    since = status(BYPASS)["age"]
    server.answers["list"] = listed(UIDS[2])
    with agent(server, group, "--detach-on-exit") as process:
        eventually(lambda: cgroups() == [str(pods[UIDS[2]].path)], 20)
        assert status(BYPASS)["age"] > since
        ended(process)
    assert cgroups() == []


def test_others_bypasses_are_not_touched(group, pods, server):
    other = group.child("other").create()
    sockproxy("attach", NAME, "--cgroup", other.path)
    try:
        with agent(server, group, "--detach-on-exit") as process:
            ended(process)
        assert NAME in sight.names()
    finally:
        sockproxy("detach", NAME)

"""The agent waits as long as there is nothing to do, and tells what has changed once."""

from __future__ import annotations

import threading

from prometheus_client import CollectorRegistry, generate_latest

from sockproxy.agent.agent import LONG_PENDING, PENDING, Agent
from sockproxy.agent.api import ApiError, ApiState
from sockproxy.agent.families import AgentCollector
from sockproxy.agent.follow import Followed
from sockproxy.agent.reconcile import Limits, Reconciler
from sockproxy.agent.report import Report
from tests.support.fake_node import FakeBypasses

RESYNC = 30.0


class FakeFollower:
    now = Followed()

    def start(self):
        pass

    def stop(self):
        pass


class FakeCluster:
    """error: what tell() raises."""

    def __init__(self, error=None):
        self.told, self.error = [], error

    def tell(self, pod, condition):
        self.told.append((pod.name, condition.reason))
        if self.error:
            raise self.error


def made(tmp_path, bypasses=None, cluster=None):
    """An agent, its follower, and the lines that it tells."""
    lines, follower = [], FakeFollower()
    reconciler = Reconciler(bypasses or FakeBypasses(), Limits(4, tmp_path))
    report = Report(cluster or FakeCluster(), lines.append)
    return Agent(follower, reconciler, report, threading.Event(), RESYNC), follower, lines


def test_nothing_is_done_before_pods_are_known(tmp_path):
    bypasses = FakeBypasses(k8s_mesh=[1])
    agent, follower, lines = made(tmp_path, bypasses)
    follower.now = Followed(None, ApiState.REFUSED, "list pods: 403")
    assert agent._turn() == RESYNC
    agent._turn()
    assert (bypasses.done, agent.state.steps) == ([], 0)
    assert lines == ["API server refused: list pods: 403; pods keep what they have"]


def test_it_waits_for_a_cgroup_and_then_no_more(tmp_path, place):
    agent, follower, _ = made(tmp_path)
    follower.now = Followed((place(1, cgroup=False),), ApiState.FOLLOWED)
    waits = [agent._turn() for _ in range(400)]
    assert (waits[0], waits[-1]) == (PENDING, LONG_PENDING)
    follower.now = Followed((place(1),), ApiState.FOLLOWED)
    assert agent._turn() == RESYNC


def test_a_change_is_told_once(tmp_path, place):
    cluster = FakeCluster()
    agent, follower, lines = made(tmp_path, cluster=cluster)
    follower.now = Followed((place(1), place(2, "../x")), ApiState.FOLLOWED)
    for _ in range(3):
        agent._turn()
    assert cluster.told == [("pod-1", "Bypassed"), ("pod-2", "BadName")]
    assert len(lines) == 3


def test_events_that_are_refused_are_not_tried_again(tmp_path, place):
    cluster = FakeCluster(ApiError("make an event: 403", ApiState.REFUSED))
    agent, follower, lines = made(tmp_path, cluster=cluster)
    follower.now = Followed(tuple(place(number) for number in range(5)), ApiState.FOLLOWED)
    agent._turn()
    assert len(cluster.told) == 1
    assert sum("none is made from now on" in each for each in lines) == 1


def test_a_flood_makes_few_events_and_no_labels(tmp_path, place):
    cluster = FakeCluster()
    agent, follower, _ = made(tmp_path, cluster=cluster)
    follower.now = Followed(
        tuple(place(number, f"flood-{number}") for number in range(300)), ApiState.FOLLOWED
    )
    agent._turn()
    assert len(cluster.told) == 20
    registry = CollectorRegistry()
    registry.register(AgentCollector(lambda: agent.state))
    text = generate_latest(registry).decode()
    assert 'sockproxy_agent_pods{reason="TooManyNames"} 296.0' in text
    assert "flood" not in text
    assert 'sockproxy_agent_api_server{state="followed"} 1.0' in text
    assert "sockproxy_agent_bypasses 4.0" in text


def test_it_runs_until_it_is_stopped(tmp_path, place):
    bypasses = FakeBypasses()
    agent, follower, _ = made(tmp_path, bypasses)
    follower.now = Followed((place(1),), ApiState.FOLLOWED)
    thread = threading.Thread(target=agent.run, args=(agent.stop,))
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert bypasses.done == ["prepare", "attach k8s-mesh"]
    assert list(bypasses.names) == ["k8s-mesh"]

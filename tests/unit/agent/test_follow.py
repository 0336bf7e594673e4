"""Pods are followed by the official client, over answers that a real API server gave."""

from __future__ import annotations

import json
import threading

import pytest

from sockproxy.agent.api import ApiError, ApiState, KubernetesCluster
from sockproxy.agent.conditions import Condition, Reason
from sockproxy.agent.follow import MOST_PODS, Follower
from sockproxy.errors import UsageError
from tests.support.fake_node import FakeServer

EXPIRED = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}


class Turns:
    """Ends a follower after so many waits; seen: its state at each."""

    def __init__(self, follower, turns):
        self.follower, self.turns, self.seen, self.waits = follower, turns, [], []

    def __call__(self, seconds):
        self.seen.append(self.follower.now)
        self.waits.append(seconds)
        if len(self.seen) == self.turns:
            self.follower.stop()


def followed(path, turns=1, node="node1"):
    """What a follower saw each time that it had to wait."""
    follower = Follower(KubernetesCluster(node, str(path)), threading.Event())
    end = Turns(follower, turns)
    follower.run(end)
    return end


def names(now):
    return sorted(each.name for each in now.pods)


def test_a_list_and_what_changes(recorded, tmp_path):
    """The watch goes on at the version of the list, and then at that of the last change."""
    deleted = json.loads(recorded("changes.jsonl").splitlines()[-1]) | {"type": "DELETED"}
    answers = {
        "list": [(200, recorded("pods.json")), (500, b"{}")],
        "watch": [
            (200, recorded("changes.jsonl")),
            (200, json.dumps(deleted).encode() + b"\n"),
            (500, b'{"message": "boom"}'),
        ],
    }
    server = FakeServer(**answers)
    with server.running(tmp_path) as path:
        end = followed(path)
    (last,) = end.seen
    assert names(last) == ["evil"]
    assert (last.state, "500 boom" in last.why) == (ApiState.UNREACHABLE, True)
    assert all("fieldSelector=spec.nodeName%3Dnode1" in each for each in server.asked)
    versions = [each.split("resourceVersion=")[1].split("&")[0] for each in server.asked[1:4]]
    begun = json.loads(recorded("pods.json"))["metadata"]["resourceVersion"]
    assert versions == [begun, *[deleted["object"]["metadata"]["resourceVersion"]] * 2]


def test_a_list_in_pages(recorded, tmp_path):
    document = json.loads(recorded("pods.json"))
    first = document | {"items": document["items"][:1]}
    first["metadata"] = {"resourceVersion": "1", "continue": "more"}
    pages = [(200, json.dumps(each).encode()) for each in (first, document)]
    server = FakeServer(list=[*pages, (500, b"")], watch=[(500, b"")])
    with server.running(tmp_path) as path:
        assert names(followed(path).seen[0]) == ["evil", "server"]
    assert "continue=more" in server.asked[1]


def test_a_watch_that_is_too_old_begins_anew(recorded, tmp_path):
    watch = [(200, json.dumps(EXPIRED).encode()), (410, b"{}"), (500, b"{}")]
    server = FakeServer(list=[(200, recorded("pods.json"))], watch=watch)
    with server.running(tmp_path) as path:
        end = followed(path)
    assert sum("watch=" not in each for each in server.asked) == 3
    assert names(end.seen[0]) == ["evil", "server"]


def test_refused_by_rbac(recorded, tmp_path):
    server = FakeServer(list=[(403, recorded("forbidden.json"))])
    with server.running(tmp_path) as path:
        end = followed(path, turns=3)
    assert {each.state for each in end.seen} == {ApiState.REFUSED}
    assert "cannot list resource" in end.seen[0].why
    assert "ClusterRole" in end.seen[0].why
    assert end.seen[0].pods is None  # nothing is detached by who knows nothing
    assert end.waits == sorted(end.waits)


def test_a_server_that_is_gone_takes_nothing_away(recorded, tmp_path):
    server = FakeServer(list=[(200, recorded("pods.json"))], watch=[(500, b"")])
    with server.running(tmp_path) as path:
        follower = Follower(KubernetesCluster("node1", str(path)), threading.Event())
        follower.run(Turns(follower, 1))
    follower._stopped.clear()
    follower.run(end := Turns(follower, 2))
    assert {each.state for each in end.seen} == {ApiState.UNREACHABLE}
    assert names(end.seen[1]) == ["evil", "server"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"items": 1}', b"<html>", b"\xff\xfe"])
def test_what_no_api_server_says(tmp_path, body):
    with FakeServer(list=[(200, body)]).running(tmp_path) as path:
        (last,) = followed(path).seen
    assert last.state is ApiState.UNREACHABLE
    assert last.why.isprintable()


def test_more_pods_than_a_node_has(recorded, tmp_path):
    document = json.loads(recorded("pods.json"))
    server = next(each for each in document["items"] if each["metadata"]["name"] == "server")
    document["items"] = [
        server
        | {"metadata": server["metadata"] | {"uid": f"{number:08x}-0000-0000-0000-000000000000"}}
        for number in range(MOST_PODS + 5)
    ]
    server = FakeServer(list=[(200, json.dumps(document).encode())], watch=[(500, b"")])
    with server.running(tmp_path) as path:
        assert len(followed(path).seen[0].pods) == MOST_PODS


def test_events_are_made_of_the_pod(place, recorded, tmp_path):
    server = FakeServer(event=[(201, b"{}"), (403, recorded("forbidden.json"))])
    with server.running(tmp_path) as path:
        cluster = KubernetesCluster("node1", str(path))
        cluster.tell(place(1), Condition(Reason.BAD_NAME, "no name"))
        with pytest.raises(ApiError) as caught:
            cluster.tell(place(2), Condition(Reason.BYPASSED, "by k8s-mesh"))
    assert caught.value.state is ApiState.REFUSED
    first, second = server.events
    assert (first["type"], first["reason"], second["type"]) == ("Warning", "BadName", "Normal")
    assert first["involvedObject"]["uid"] == place(3).uid[:-1] + "1"


def test_neither_a_kubeconfig_nor_a_service_account(tmp_path):
    for given in (None, str(tmp_path / "none")):
        with pytest.raises(UsageError, match="find the API server"):
            KubernetesCluster("node1", given)

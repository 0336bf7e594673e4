"""What pods say is read, and nothing of it is believed."""

from __future__ import annotations

import copy
import json

import pytest

from sockproxy.agent.groups import find_pod
from sockproxy.agent.pods import ANNOTATION, bypass_name, read_pod
from sockproxy.errors import UsageError

UID = "50a3b050-57d7-4026-9a27-f01178ca6437"
SLICE = UID.replace("-", "_")


def test_recorded_pods_are_read(recorded):
    items = json.loads(recorded("pods.json"))["items"]
    found = {str(pod): pod.asked for each in items if (pod := read_pod(each))}
    assert found == {"default/server": "mesh", "default/evil": "../../x\x1b[31m"}


@pytest.fixture
def server(recorded):
    """The answer about one pod, to be spoilt."""
    items = json.loads(recorded("pods.json"))["items"]
    return copy.deepcopy(next(each for each in items if each["metadata"]["name"] == "server"))


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_asks_for_nothing(server, phase):
    server["status"]["phase"] = phase
    assert read_pod(server) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("uid", each) for each in ("", "..", f"{UID}/..", f"{UID}\n", UID.upper(), None, 7)),
        *(("name", each) for each in ("", "../x", "a\x1b[2J", "x" * 300, "-x", None)),
        *(("namespace", each) for each in ("", "a/b", "a\nb", None)),
        *(("annotations", each) for each in (None, [], "x", {ANNOTATION: 7}, {ANNOTATION: None})),
    ],
)
def test_what_no_api_server_says_is_no_pod(server, key, value):
    server["metadata"][key] = value
    assert read_pod(server) is None


@pytest.mark.parametrize("raw", [{}, {"metadata": None}, {"metadata": {}}, [], None, "pod"])
def test_what_is_no_pod_at_all(raw):
    assert read_pod(raw) is None


@pytest.mark.parametrize("asked", ["mesh", "m", "A_b-9", "x" * 60])
def test_a_name_has_the_agents_prefix(place, asked):
    assert bypass_name(place(1, asked)) == f"k8s-{asked}"


@pytest.mark.parametrize(
    "asked",
    ["", "x" * 61, "../mesh", "a b", "a/b", "~a", "+a", "a\0", "é", "a\nb", "\x1b[31m", "x" * 9999],
)
def test_a_name_that_is_none_is_refused_in_one_short_line(place, asked):
    with pytest.raises(UsageError) as caught:
        bypass_name(place(1, asked))
    told = str(caught.value)
    assert told.isprintable()
    assert len(told) < 250


@pytest.mark.parametrize(
    "path",
    [
        f"kubepods/pod{UID}",
        f"kubepods/burstable/pod{UID}",
        f"kubepods/besteffort/pod{UID}",
        f"kubepods.slice/kubepods-pod{SLICE}.slice",
        f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{SLICE}.slice",
        f"kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{SLICE}.slice",
    ],
)
def test_the_cgroup_of_each_class_and_driver(tmp_path, path):
    assert find_pod(UID, tmp_path) is None
    (tmp_path / path).mkdir(parents=True)
    assert find_pod(UID, tmp_path) == tmp_path / path

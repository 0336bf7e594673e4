"""What pods say is read, and nothing of it is believed."""

from __future__ import annotations

import copy
import json

import pytest

from sockproxy.agent.groups import find_pod
from sockproxy.agent.pods import ANNOTATION, MIRROR, bypass_name, read_pod
from sockproxy.errors import UsageError

UID = "50a3b050-57d7-4026-9a27-f01178ca6437"
HASH = "0f1dbb5bbf95eb7ab1a1a9dbdcbc7cb2"  # a static pod's uid
# Guaranteed, burstable, best effort: what the code of kubelet 1.20 gives for its two drivers.
CGROUPFS = ("kubepods/pod{}", "kubepods/burstable/pod{}", "kubepods/besteffort/pod{}")
SYSTEMD = (
    "kubepods.slice/kubepods-pod{}.slice",
    "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice",
    "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{}.slice",
)


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


def test_a_static_pod_is_told_apart_from_its_mirror(server):
    assert read_pod(server).group == read_pod(server).uid
    server["metadata"]["annotations"][MIRROR] = HASH
    pod = read_pod(server)
    assert (pod.group, pod.uid) == (HASH, server["metadata"]["uid"])


def test_a_mirror_that_no_kubelet_has_acknowledged_is_not_believed(server):
    server["metadata"]["annotations"][MIRROR] = HASH
    del server["status"]["startTime"]
    assert read_pod(server) is None


@pytest.mark.parametrize("said", ["", UID, "..", f"{HASH}/..", f"{HASH}\n", HASH.upper(), None, 7])
def test_a_mirror_of_what_is_no_static_pod(server, said):
    server["metadata"]["annotations"][MIRROR] = said
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


CONTAINER = "3f0c" * 16


@pytest.mark.parametrize(
    ("uid", "path", "container"),
    [
        *((uid, path.format(uid), CONTAINER) for uid in (UID, HASH) for path in CGROUPFS),
        *(
            (uid, path.format(uid.replace("-", "_")), f"cri-containerd-{CONTAINER}.scope")
            for uid in (UID, HASH)
            for path in SYSTEMD
        ),
    ],
)
def test_the_cgroup_of_each_class_and_driver(tmp_path, uid, path, container):
    assert find_pod(uid, tmp_path) is None
    (tmp_path / path / container).mkdir(parents=True)
    assert find_pod(uid, tmp_path) == tmp_path / path


def test_the_cgroup_of_another_pod_is_not_found(tmp_path):
    (tmp_path / CGROUPFS[1].format(HASH)).mkdir(parents=True)
    assert find_pod(HASH[:-1], tmp_path) is None
    assert find_pod(UID, tmp_path) is None

"""The manifests of cgroup/kubernetes: valid by Kubernetes' own schemas, and no right too many."""

from __future__ import annotations

import shutil
import subprocess

import kubernetes_validate
import pytest
import yaml

from sockproxy.cli.agent import agent
from tests.support.proxy import ROOT

FOLDER = ROOT / "cgroup" / "kubernetes"
VERSIONS = ("1.30", "1.37")
KINDS = ["ClusterRole", "ClusterRoleBinding", "DaemonSet", "Namespace", "ServiceAccount"]


def documents(folder):
    """What `kubectl apply -k` sends, but for the image's name."""
    named = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    return [each for name in named for each in yaml.safe_load_all((folder / name).read_text())]


@pytest.fixture(scope="module")
def base():
    return {each["kind"]: each for each in documents(FOLDER / "base")}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_base_is_valid(base, version):
    assert sorted(base) == KINDS
    for each in base.values():
        kubernetes_validate.validate(each, version, strict=True)


def test_rights_are_what_the_agent_asks_for(base):
    """api.py lists and watches pods, and makes events."""
    rules = base["ClusterRole"]["rules"]
    granted = {
        (kind, verb) for rule in rules for kind in rule["resources"] for verb in rule["verbs"]
    }
    assert granted == {("pods", "list"), ("pods", "watch"), ("events", "create")}
    assert base["ClusterRoleBinding"]["roleRef"]["name"] == base["ClusterRole"]["metadata"]["name"]


def test_the_container_has_no_right_too_many(base):
    spec = base["DaemonSet"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    security = container["securityContext"]
    assert security["capabilities"]["add"] == ["BPF", "NET_ADMIN", "PERFMON", "SYS_PTRACE"]
    assert security["capabilities"]["drop"] == ["ALL"]
    assert "privileged" not in security
    assert "hostNetwork" not in spec


def test_its_arguments_are_those_of_the_command(base):
    (container,) = base["DaemonSet"]["spec"]["template"]["spec"]["containers"]
    name, *arguments = container["args"]
    assert name == agent.name
    agent.make_context(name, list(arguments))


@pytest.mark.skipif(shutil.which("helm") is None, reason="no helm, which Debian does not have")
@pytest.mark.parametrize("values", [[], ["--set", "events=false,options={--deny=443}"]])
def test_the_chart_is_valid_and_says_the_same(base, values):
    chart = FOLDER / "chart"
    argv = ["helm", "template", "sockproxy", str(chart), "--namespace", "sockproxy", *values]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    rendered = {each["kind"]: each for each in yaml.safe_load_all(done.stdout) if each}
    assert sorted([*rendered, "Namespace"]) == KINDS
    for each in rendered.values():
        kubernetes_validate.validate(each, VERSIONS[-1], strict=True)
    ours, theirs = (each["DaemonSet"]["spec"]["template"]["spec"] for each in (rendered, base))
    for each in ("securityContext", "volumeMounts", "env"):
        assert ours["containers"][0][each] == theirs["containers"][0][each]
    assert ours["volumes"] == theirs["volumes"]
    if values:
        assert "--deny=443" in ours["containers"][0]["args"]
        assert len(rendered["ClusterRole"]["rules"]) == 1

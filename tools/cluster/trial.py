"""The agent on real nodes: python -m tools.cluster.trial, as the command of tools/cluster/control.

Prints a row for each thing that has to be seen, and ends with 1 where one was not.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tools.cluster.kube import (
    FIRST,
    NAME,
    SECOND,
    address,
    apply,
    eventually,
    kubectl,
    on_node,
    pod,
    ready_at,
    run_all,
    talk_file,
    talker,
)
from tools.cluster.lives import exits, passes, starts, static
from tools.cluster.talks import Talk, ask

STATE = Path(os.environ["KUBECONFIG"]).parent
ROOT = Path(__file__).resolve().parents[2]
AGENTS = ("daemonset", "sockproxy-agent", "-n", "sockproxy")
ROLLED_OUT = "--timeout=180s"  # a busy machine takes one to find out what its kernel can do
OPTIONS = ("--blocking-readers", "--any-reader")


def begin() -> str:
    """The agent runs on both nodes with what its manifests grant."""
    kubectl("apply", "-k", str(ROOT / "cgroup/kubernetes/base"))
    # What the pods run is Python, which this kernel lets nobody know to do without FIONREAD.
    path = "/spec/template/spec/containers/0/args/-"
    options = [{"op": "add", "path": path, "value": each} for each in OPTIONS]
    kubectl("patch", *AGENTS, "--type=json", "-p", json.dumps(options))
    kubectl("rollout", "status", *AGENTS, ROLLED_OUT)
    kubectl("create", "configmap", "talk", f"--from-file={talk_file()}")
    for each in (FIRST, SECOND):
        eventually(lambda: each.says("API server followed"), f"{each.node} follows")  # noqa: B023
    who = "--as=system:serviceaccount:sockproxy:sockproxy-agent"
    may = [
        f"{verb} {what}"
        for what in ("pods", "events", "nodes", "secrets")
        for verb in ("list", "watch", "get", "create", "patch", "delete")
        if kubectl("auth", "can-i", verb, what, who, check=False).strip() == "yes"
    ]
    return f"2 nodes; it may: {', '.join(may)}"


def counts() -> str:
    """Traffic between two pods, and between application and sidecar, is counted."""
    apply(
        pod("server", "node1", "mesh", talker("app", "serve"), talker("sidecar", "idle")),
        pod("client", "node1", "mesh", talker("app", "idle")),
    )
    ready_at("server", "app")
    server = eventually(lambda: address("server"), "the server's address")
    eventually(lambda: len(FIRST.bypass(NAME).get("cgroups", ())) == 2, "both pods are in it")
    told = []
    for name, container, target in (("client", "app", server), ("server", "sidecar", "127.0.0.1")):
        before = FIRST.bypass(NAME)["bypassed_messages"]
        sent = ask(name, container, target, 3)
        moved = FIRST.bypass(NAME)["bypassed_messages"] - before
        if moved < sent:
            raise SystemExit(f"{name}/{container}: {moved} messages of {2 * sent} past TCP")
        told.append(f"{name}/{container}: {moved} of {2 * sent} messages past TCP")
    return "; ".join(told)


def killed() -> str:
    """An agent that is killed finds its state, and no byte is lost."""
    with Talk("client", "app", address("server"), 25) as talk:
        time.sleep(3)
        before = FIRST.bypass(NAME)
        os.kill(FIRST.process(), signal.SIGKILL)
        eventually(lambda: FIRST.ready() == "", "the agent is gone", 20)
        after = eventually(lambda: FIRST.bypass(NAME), "an agent again")
        if after["age"] < before["age"] or after["enrolled"] < before["enrolled"]:
            raise SystemExit(f"it was attached anew: {before} {after}")
    return f"{talk.sent} messages, all answered right; attached since {after['age']:.0f} s"


def upgraded() -> str:
    """A rolling update of the agent loses no byte."""
    with Talk("client", "app", address("server"), 40) as talk:
        kubectl("rollout", "restart", *AGENTS)
        kubectl("rollout", "status", *AGENTS, ROLLED_OUT)
        age = FIRST.bypass(NAME)["age"]
        moved = FIRST.bypass(NAME)["bypassed_messages"]
        time.sleep(1)
        still = FIRST.bypass(NAME)["bypassed_messages"] - moved
        if not still:
            raise SystemExit("nothing goes past TCP any more")
    after = f"attached since {age:.0f} s, {still} past TCP in a second"
    return f"{talk.sent} messages, all answered right; afterwards {after}"


def refused() -> str:
    """RBAC refuses: the agent says so, and pods keep their bypass."""
    binding = json.loads(kubectl("get", "clusterrolebinding", "sockproxy-agent", "-o", "json"))
    kubectl("delete", "clusterrolebinding", "sockproxy-agent")
    kubectl("delete", "pod", "-n", "sockproxy", FIRST.pod())
    line = eventually(lambda: FIRST.says("API server refused"), "it says so")
    sent = ask("client", "app", address("server"), 2)
    if not FIRST.metric('sockproxy_agent_api_server{state="refused"} 1.0'):
        raise SystemExit("no metric says so")
    for each in ("resourceVersion", "uid"):
        binding["metadata"].pop(each)
    apply(binding)
    eventually(lambda: FIRST.says("API server followed"), "it follows again")
    told = line.removeprefix("sockproxy: ")[:60]
    return f"“{told}…”, and a metric; {sent} messages meanwhile; followed once granted"


def server_gone() -> str:
    """The API server is gone for a minute: pods keep their bypass."""
    with Talk("client", "app", address("server"), 80) as talk:
        time.sleep(2)
        os.kill(int((STATE / "apiserver.pid").read_text()), signal.SIGKILL)
        time.sleep(60)
        subprocess.Popen([Path(__file__).with_name("apiserver"), STATE])
        eventually(lambda: kubectl("get", "--raw", "/readyz", check=False), "the API server")
        eventually(lambda: FIRST.says("API server").endswith("followed"), "it follows again", 60)
    said = FIRST.says("API server unreachable")
    if not said:
        raise SystemExit("the agent did not say so")
    return f"{talk.sent} messages, all answered right; the log says it, and that it follows again"


def no_bpffs() -> str:
    """A node without a bpffs: the pod's condition says so, its traffic is plain TCP."""
    on_node("node2", "umount", "--lazy", "/sys/fs/bpf")
    kubectl("delete", "pod", "-n", "sockproxy", SECOND.pod())
    apply(pod("plain", "node2", "mesh", talker("app", "serve"), talker("sidecar", "idle")))
    ready_at("plain", "app")
    line = eventually(lambda: SECOND.says("default/plain: AttachFailed"), "it says so")
    event = eventually(
        lambda: kubectl("get", "events", "--field-selector=reason=AttachFailed", "--no-headers"),
        "an event",
    )
    sent = ask("plain", "sidecar", "127.0.0.1", 2)
    on_node("node2", "mount", "-t", "bpf", "bpf", "/sys/fs/bpf")
    eventually(lambda: SECOND.says("default/plain: Bypassed"), "it is bypassed in the end")
    kubectl("delete", "pod", "plain")
    told = line.partition("AttachFailed: ")[2]
    return (
        f"“{told}”, {len(event.splitlines())} event; {sent} messages by TCP; bypassed once mounted"
    )


def hostile() -> str:
    """Hostile annotations, and more names than may be."""
    bad = ["../../etc", "a b", "\x1b[2J", "x" * 5000, "~mesh", ""]
    apply(*(pod(f"bad-{i}", "node1", each, talker("app", "idle")) for i, each in enumerate(bad)))
    flood = [f"flood-{number}" for number in range(20)]
    apply(*(pod(each, "node1", each, talker("app", "idle")) for each in flood))
    eventually(lambda: FIRST.metric('sockproxy_agent_pods{reason="TooManyNames"} 4.0'), "4 of 20")
    if not FIRST.metric('sockproxy_agent_pods{reason="BadName"} 6.0'):
        raise SystemExit("bad names are not counted")
    printable = all(line.isprintable() and len(line) < 400 for _, line in FIRST.log())
    kubectl("delete", "pod", *flood, *(f"bad-{number}" for number in range(len(bad))))
    eventually(lambda: FIRST.metric("sockproxy_agent_bypasses 0.0"), "all are gone")
    if not printable:
        raise SystemExit("the log has lines that no terminal should get")
    return "6 names refused, each with its reason; 16 of 20 others attached, 4 told why not"


ROWS = (
    begin,
    starts,
    exits,
    counts,
    static,
    killed,
    upgraded,
    refused,
    server_gone,
    passes,
    no_bpffs,
    hostile,
)

if __name__ == "__main__":
    asked = sys.argv[1:]
    sys.exit(run_all([each for each in ROWS if not asked or each.__name__ in (*asked, "begin")]))

"""What a trial does with the cluster: kubectl, pods that talk, and the agents and their nodes."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

__all__ = [
    "FIRST",
    "NAME",
    "SECOND",
    "Agent",
    "address",
    "apply",
    "eventually",
    "inside",
    "kubectl",
    "on_node",
    "pod",
    "ready_at",
    "run_all",
    "talk_file",
    "talker",
]

NAME = "k8s-mesh"  # of the bypass that most pods are in
IMAGE = "localhost/sockproxy:1"
NAMESPACE = "sockproxy"
PATIENCE = 120.0
T = TypeVar("T")


def kubectl(*arguments: str, given: str | None = None, check: bool = True) -> str:
    """What kubectl prints. Ends this program where it fails, unless `check` is false."""
    done = subprocess.run(["kubectl", *arguments], input=given, capture_output=True, text=True)
    if check and done.returncode:
        raise SystemExit(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def apply(*documents: dict[str, Any]) -> None:
    """Have the cluster have these."""
    listed = {"apiVersion": "v1", "kind": "List", "items": documents}
    kubectl("apply", "-f", "-", given=json.dumps(listed))


def eventually(look: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
    """What `look` gives once it is true. Ends this program where it never is."""
    end = time.monotonic() + patience
    while not (found := look()):
        if time.monotonic() > end:
            raise SystemExit(f"in vain after {patience:.0f} s: {what}")
        time.sleep(0.1)
    return found


def talker(name: str, *words: str) -> dict[str, Any]:
    """A container that runs talk.py."""
    return {
        "name": name,
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["python3", "/talk/talk.py", *words],
        "volumeMounts": [{"name": "talk", "mountPath": "/talk"}],
    }


def pod(name: str, node: str, bypass: str, *containers: dict[str, Any]) -> dict[str, Any]:
    """A pod of these containers. bypass: its annotation."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": {"sockproxy.io/bypass": bypass}},
        "spec": {
            "nodeName": node,
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "volumes": [{"name": "talk", "configMap": {"name": "talk"}}],
            "containers": list(containers),
        },
    }


def node_pid(node: str) -> int:
    """A process in the namespaces of a node: its kubelet."""
    argv = ["pgrep", "--newest", "--full", f"hostname-override={node} "]
    return int(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)


def inside(node: str, *argv: str) -> list[str]:
    """The command that runs a command on a node."""
    return ["nsenter", "--target", str(node_pid(node)), "--mount", "--pid", "--", *argv]


def on_node(node: str, *argv: str) -> str:
    """What a command prints on a node. Ends this program where it fails."""
    done = subprocess.run(inside(node, *argv), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


class Agent:
    """The agent of a node, whichever pod it is in by now."""

    def __init__(self, node: str) -> None:
        self.node = node

    def pod(self) -> str:
        """The name of its pod, once that is ready."""
        return eventually(self.ready, f"an agent on {self.node}")

    def ready(self) -> str:
        """The name of its pod, if that is ready, else ""."""
        listed = json.loads(kubectl("get", "pods", "-n", NAMESPACE, "-o", "json"))["items"]
        for each in listed:
            ready = all(
                one["ready"] for one in each["status"].get("containerStatuses", [{"ready": 0}])
            )
            is_leaving = "deletionTimestamp" in each["metadata"]
            if each["spec"]["nodeName"] == self.node and ready and not is_leaving:
                return str(each["metadata"]["name"])
        return ""

    def run(self, *argv: str) -> str:
        """What a command prints in its container."""
        return kubectl("exec", "-n", NAMESPACE, self.pod(), "--", *argv, check=False)

    def bypass(self, name: str) -> dict[str, Any]:
        """What `status --json` says of a bypass; {} where it is not there."""
        told = self.run("sockproxy", "status", "--json")
        found = json.loads(told)["bypasses"] if told else []
        return next((each for each in found if each["name"] == name), {})

    def log(self) -> list[tuple[datetime, str]]:
        """Its lines, with their times."""
        return _stamped(kubectl("logs", "-n", NAMESPACE, self.pod(), "--timestamps"))

    def says(self, *words: str) -> str:
        """The last line that has all these words, "" for none."""
        lines = [line for _, line in self.log() if all(each in line for each in words)]
        return lines[-1] if lines else ""

    def process(self) -> int:
        """The pid of `sockproxy agent`, here."""
        own = os.readlink(f"/proc/{node_pid(self.node)}/ns/pid")
        argv = ["pgrep", "--full", "sockproxy agent"]
        found = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
        return next(int(each) for each in found if os.readlink(f"/proc/{each}/ns/pid") == own)

    def metric(self, line: str) -> bool:
        """Whether its metrics have that line."""
        code = "from urllib.request import urlopen; print(urlopen(input()).read().decode())"
        shell = f"echo http://127.0.0.1:9479/metrics | python3 -c '{code}'"
        return line in self.run("sh", "-c", shell).splitlines()


FIRST, SECOND = Agent("node1"), Agent("node2")


def address(name: str) -> str:
    """A pod's; "" where it has none yet, or is not there."""
    path = "jsonpath={.status.podIP}"
    return kubectl("get", "pod", name, "--ignore-not-found", "-o", path)


def ready_at(name: str, container: str) -> datetime:
    """When the container's program began to work, by its log."""

    def look() -> list[tuple[datetime, str]]:
        told = kubectl("logs", name, "-c", container, "--timestamps", check=False)
        return [each for each in _stamped(told) if each[1] == "READY"]

    return eventually(look, f"{name} is ready")[0][0]


def _stamped(text: str) -> list[tuple[datetime, str]]:
    found = []
    for line in text.splitlines():
        stamp, _, rest = line.partition(" ")
        # Nanoseconds are more than Python reads.
        found.append((datetime.fromisoformat(stamp[:26] + "+00:00"), rest))
    return found


def talk_file() -> Path:
    """Where talk.py is."""
    return Path(__file__).with_name("talk.py")


def run_all(rows: Sequence[Callable[[], str]]) -> int:
    """Run each row, print what it saw; 1 where one did not hold."""
    failed = 0
    for row in rows:
        what = (row.__doc__ or "").partition("\n")[0].rstrip(".")
        began = time.monotonic()
        try:
            seen = row()
        except SystemExit as error:
            failed, seen = 1, f"NOT SEEN: {error}"
        print(f"| {what} | {seen} | {time.monotonic() - began:.0f} s |", flush=True)
        if failed:
            break  # the rows after it begin where it was to end
    return failed

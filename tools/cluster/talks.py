"""Conversations between pods, of which no byte may be wrong.

They are started by the container runtime of a node: a trial ends the API server.
"""

from __future__ import annotations

import json
import subprocess
import time

from tools.cluster.kube import inside, kubectl

__all__ = ["Talk", "ask"]

LONGEST = 120.0  # seconds that one may take beyond what it was to
ENGINE = "containerd://"
RUN = ("python3", "/talk/talk.py")


class Talk:
    """A conversation for the length of a `with`, and for so many seconds, or the one of these words
    to talk.py. sent: messages that were answered right. Ends this program where one was not."""

    def __init__(self, name: str, container: str, address: str, seconds: int, *words: str) -> None:
        about = json.loads(kubectl("get", "pod", name, "-o", "json"))
        self._node = about["spec"]["nodeName"]
        statuses = about["status"]["containerStatuses"]
        states = {each["name"]: each["containerID"] for each in statuses}
        ctr = ["ctr", "-a", "/run/containerd.sock", "-n", "k8s.io", "tasks", "exec", "--exec-id"]
        words = words or ("ask", address, str(seconds))
        number = states[container].removeprefix(ENGINE)
        self._argv = [*ctr, f"talk-{time.monotonic_ns()}", number, *RUN, *words]
        self._seconds = seconds
        self.sent = 0

    def __enter__(self) -> Talk:
        self._process = subprocess.Popen(
            inside(self._node, *self._argv),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        told = self._process.communicate(timeout=self._seconds + LONGEST)[0]
        if kind is None:
            if not told.startswith("DONE"):
                raise SystemExit(f"a conversation broke: {told[-200:]}")
            self.sent = int(told.split()[1])


def ask(name: str, container: str, address: str, seconds: int) -> int:
    """A conversation from its begin to its end; how many messages were answered."""
    with Talk(name, container, address, seconds) as talk:
        pass
    return talk.sent

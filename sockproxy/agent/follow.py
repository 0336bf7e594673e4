"""Follow the pods of the node: a list, then what changes, and both again when that ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from sockproxy.agent.api import ApiError, ApiState, Cluster
from sockproxy.agent.pods import Pod, read_pod

__all__ = ["Followed", "Follower"]

FIRST_DELAY, LONGEST_DELAY = 0.5, 15.0  # seconds until the server is asked again; they double
PAUSE = 0.2  # seconds between two watches, as a server, or what is before it, may end them at once
MOST_PODS = 1000  # of a node that ask for a bypass; the kubelet starts far fewer


@dataclass(frozen=True, slots=True)
class Followed:
    """pods: None before the first list. state: how it stands with the server, and why."""

    pods: tuple[Pod, ...] | None = None
    state: ApiState = ApiState.ASKED
    why: str = ""


class Follower:
    """One thread that follows. `changed` is set whenever `now` is another one.

    While the server is gone the pods that were known stay: what they have is kept.
    """

    def __init__(self, cluster: Cluster, changed: threading.Event) -> None:
        self.now = Followed()
        self._cluster, self._changed = cluster, changed
        self._pods: dict[str, Pod] = {}
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin; the thread ends with this process, in the midst of a question."""
        threading.Thread(target=self.run, name="follow", daemon=True).start()

    def stop(self) -> None:
        """Begin no further question."""
        self._stopped.set()

    def run(self, wait: Callable[[float], object] | None = None) -> None:
        """Follow until stop(). wait: sleeps for so many seconds; a test's own."""
        wait = wait or self._stopped.wait
        delay = FIRST_DELAY
        while not self._stopped.is_set():
            try:
                version = self._list()
                delay = FIRST_DELAY
                while not self._stopped.is_set():
                    version = self._follow(version)
                    self._stopped.wait(PAUSE)
            except ApiError as error:
                if error.is_expired:
                    continue
                known = None if self.now.pods is None else tuple(self._pods.values())
                self._show(Followed(known, error.state, str(error)))
                wait(delay)
                delay = min(2 * delay, LONGEST_DELAY)

    def _list(self) -> str:
        answers, version = self._cluster.pods()
        found = {pod.uid: pod for each in answers if (pod := read_pod(each))}
        self._pods = dict(list(found.items())[:MOST_PODS])
        self._show_pods()
        return version

    def _follow(self, version: str) -> str:
        """Until the server ends the watch; from which version on to watch next."""
        for kind, answer in self._cluster.changes(version):
            try:
                version, uid = answer["metadata"]["resourceVersion"], answer["metadata"]["uid"]
            except (KeyError, TypeError):
                continue  # nothing that an API server would say
            pod = None if kind == "DELETED" else read_pod(answer)
            before = self._pods.get(uid)
            if pod is None:
                self._pods.pop(uid, None)
            elif before is not None or len(self._pods) < MOST_PODS:
                self._pods[uid] = pod
            if pod is not None or before is not None:
                self._show_pods()
        return version

    def _show_pods(self) -> None:
        self._show(Followed(tuple(self._pods.values()), ApiState.FOLLOWED))

    def _show(self, now: Followed) -> None:
        self.now = now
        self._changed.set()

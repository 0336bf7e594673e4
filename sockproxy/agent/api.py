"""The API server, asked by the official client: the pods of a node, and events on them.

Answers are read as JSON and not as the client's models, which refuse what servers of other versions
say.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol, cast

from kubernetes import client, config
from urllib3.exceptions import HTTPError

from sockproxy.agent.conditions import Condition
from sockproxy.agent.pods import Pod
from sockproxy.errors import SockproxyError, UsageError
from sockproxy.text import clean, shortened

__all__ = ["ApiError", "ApiState", "Cluster", "KubernetesCluster"]

PAGE = 100  # pods in one answer
WATCH = 240  # seconds after which the server ends a watch, which then goes on with another
CONNECT, SILENCE = 5.0, 20.0  # seconds that it may take to connect, and to answer
MOST_SHOWN = 200  # characters of what the server says
GONE = 410
REFUSED = (401, 403)
FIELDS = ("reason", "message")

Answer = dict[str, Any]


class ApiState(StrEnum):
    """How it stands with the API server; a closed set, as it labels a metric."""

    FOLLOWED = "followed"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    ASKED = "asked"


class ApiError(SockproxyError):
    """The server was not reached, or did not do what it was asked for.

    state: which of both. is_expired: a watch began too long ago, and pods have to be listed anew.
    """

    def __init__(self, doing: str, state: ApiState, *, is_expired: bool = False) -> None:
        hint = "see the agent's ClusterRole" if state is ApiState.REFUSED else None
        super().__init__(doing, hint=hint)
        self.state, self.is_expired = state, is_expired


class Cluster(Protocol):
    """What the agent asks of the cluster. Every method may raise ApiError."""

    def pods(self) -> tuple[list[Answer], str]:
        """All pods of the node, and the version of the answer, for changes()."""

    def changes(self, version: str) -> Iterator[tuple[str, Answer]]:
        """What changes from that version on: ADDED, MODIFIED or DELETED, and the pod. Ends when the
        server ends it."""

    def tell(self, pod: Pod, condition: Condition) -> None:
        """Make an event on the pod."""


class KubernetesCluster:
    """The cluster of a kubeconfig, or that of the pod in which this runs.

    Raises UsageError where neither can be read.
    """

    def __init__(self, node: str, kubeconfig: str | None) -> None:
        settings, load = client.Configuration(), cast(Any, config)
        try:
            if kubeconfig:
                load.load_kube_config(kubeconfig, client_configuration=settings)
            else:
                load.load_incluster_config(client_configuration=settings)
        except (config.ConfigException, OSError) as error:
            hint = "run in a pod with a service account, or give --kubeconfig"
            raise UsageError(f"find the API server: {_line(error)}", hint=hint) from None
        settings.retries = False  # who asks tries again
        # Its types do not know of answers that are not made models of.
        self._api: Any = client.CoreV1Api(client.ApiClient(settings))
        self._node = node

    def pods(self) -> tuple[list[Answer], str]:
        found: list[Answer] = []
        more: dict[str, str] = {}
        while True:
            with self._asked("list pods", limit=PAGE, **more) as answer:
                document = json.loads(answer.data)
                found += document["items"]
                about = document["metadata"]
                if not about.get("continue"):
                    return found, about["resourceVersion"]
                more = {"_continue": about["continue"]}

    def changes(self, version: str) -> Iterator[tuple[str, Answer]]:
        wait = {"timeout_seconds": WATCH, "_request_timeout": (CONNECT, WATCH + SILENCE)}
        with self._asked("watch pods", watch=True, resource_version=version, **wait) as answer:
            for line in answer:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    about = event["object"]
                    raise _failure("watch pods", int(about.get("code", 0)), about)
                yield event["type"], event["object"]

    def tell(self, pod: Pod, condition: Condition) -> None:
        now = datetime.now(UTC).isoformat()
        event = {
            "metadata": {"generateName": "sockproxy-", "namespace": pod.namespace},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": pod.namespace,
                "name": pod.name,
                "uid": pod.uid,
            },
            "type": "Normal" if condition.reason.is_well else "Warning",
            "reason": str(condition.reason),
            "message": condition.told,
            "source": {"component": "sockproxy-agent", "host": self._node},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        with _failures("make an event"):
            answer = self._api.create_namespaced_event(
                pod.namespace, event, _preload_content=False, _request_timeout=(CONNECT, SILENCE)
            )
            _check(answer)

    @contextlib.contextmanager
    def _asked(self, doing: str, **arguments: Any) -> Iterator[Any]:
        """The answer, still to be read."""
        arguments = {"_request_timeout": (CONNECT, SILENCE)} | arguments
        with _failures(doing):
            answer = self._api.list_pod_for_all_namespaces(
                field_selector=f"spec.nodeName={self._node}", _preload_content=False, **arguments
            )
            try:
                _check(answer)
                yield answer
            finally:
                answer.close()
                answer.release_conn()


def _check(answer: Any) -> None:
    """Of an older client; a newer one raises by itself."""
    if not 200 <= answer.status < 300:
        raise client.ApiException(http_resp=answer)


@contextlib.contextmanager
def _failures(doing: str) -> Iterator[None]:
    """What the client raises, as our errors."""
    try:
        yield
    except client.ApiException as error:
        try:
            about = json.loads(error.body or "")
        except ValueError:
            about = {"message": error.reason}
        raise _failure(doing, error.status or 0, about) from None
    except (HTTPError, OSError) as error:
        raise ApiError(f"{doing}: {_line(error)}", ApiState.UNREACHABLE) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        told = f"{doing}: the answer is none of an API server: {_line(error)}"
        raise ApiError(told, ApiState.UNREACHABLE) from None


def _failure(doing: str, code: int, about: Any) -> ApiError:
    said = [str(about[each]) for each in FIELDS if isinstance(about, dict) and about.get(each)]
    state = ApiState.REFUSED if code in REFUSED else ApiState.UNREACHABLE
    return ApiError(
        f"{doing}: {code} {_line(': '.join(said))}".rstrip(), state, is_expired=code == GONE
    )


def _line(what: object) -> str:
    return clean(shortened(" ".join(str(what).split()), MOST_SHOWN))

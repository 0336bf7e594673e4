"""Asks proxies and reads bypasses, when somebody scrapes: nothing is done meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sockproxy.bypass.view import bypass_status
from sockproxy.errors import SockproxyError
from sockproxy.metrics.bypasses import bypass_families, never_less
from sockproxy.metrics.proxies import proxy_families
from sockproxy.metrics.upstreams import upstream_families
from sockproxy.proxy.asking import ask_all
from sockproxy.rundir import running, sight

__all__ = ["HostCollector"]

Documents = list[dict[str, Any]]


class HostCollector(Collector):
    """All that runs on this host, in sight of this process. Scrapes at once wait for each other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bypasses: dict[str, dict[str, Any]] = {}

    def describe(self) -> Iterator[Metric]:
        """Nothing is asked when it is registered."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """What is there now. What does not answer is down, and the others are shown."""
        with self._lock:
            begun = time.monotonic()
            up = GaugeMetricFamily(
                "sockproxy_up",
                "Whether a proxy or a bypass told what it counts.",
                labels=["kind", "name"],
            )
            proxies, bypasses = _proxies(up), _bypasses(up)
            self._bypasses = {
                each["name"]: never_less(each, self._bypasses.get(each["name"]))
                for each in bypasses
            }
            took = time.monotonic() - begun
        yield up
        yield GaugeMetricFamily(
            "sockproxy_scrape_duration_seconds", "How long it took to ask them.", took
        )
        build = GaugeMetricFamily(
            "sockproxy_build_info", "1, with the version of what is asked.", labels=["version"]
        )
        build.add_metric([version("sockproxy")], 1)
        yield build
        yield from proxy_families(proxies)
        yield from upstream_families(proxies)
        yield from bypass_families(list(self._bypasses.values()))


def _proxies(up: GaugeMetricFamily) -> Documents:
    told = []
    for name, answer in ask_all(running(), "metrics").items():
        is_up = not isinstance(answer, SockproxyError)
        up.add_metric(["proxy", name], is_up)
        if not isinstance(answer, SockproxyError):
            told.append(answer)
    return told


def _bypasses(up: GaugeMetricFamily) -> Documents:
    seen = []
    for name in sight.names():
        try:
            seen.append(bypass_status(name))
            up.add_metric(["bypass", name], 1)
        except SockproxyError:
            if name in sight.names():  # else it was detached at this moment
                up.add_metric(["bypass", name], 0)
    return seen

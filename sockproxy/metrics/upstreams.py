"""The upstreams of proxies, as families of samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

__all__ = ["upstream_families"]

LABELS = ["proxy", "service", "upstream"]
TAKES = ("up", "full")
"""The states of one that is well."""


def upstream_families(answers: list[dict[str, Any]]) -> Iterator[Metric]:
    """Of all proxies. An address that several routes of a service lead to is one."""
    up = _gauge("up", "Whether it answers, by its checks and to clients.")
    weight = _gauge("weight", "Its share beside the others', as it is now in a slow start.")
    connections = _gauge("connections", "Clients that it has, or that are being connected.")
    chosen = CounterMetricFamily(
        "sockproxy_proxy_upstream_chosen", "Times that it was a client's turn.", labels=LABELS
    )
    waiting = GaugeMetricFamily(
        "sockproxy_proxy_waiting_clients",
        "Clients for whom all upstreams are full.",
        labels=["proxy", "service"],
    )
    for answer in answers:
        for service in answer["services"]:
            parts = [service, *service["routed"]]
            own = [answer["name"], service["name"]]
            waiting.add_metric(own, sum(part["waiting"] for part in parts))
            for address, rows in _by_address(parts).items():
                labels = [*own, address]
                up.add_metric(labels, all(row["state"] in TAKES for row in rows))
                weight.add_metric(labels, max(row["weight_now"] for row in rows))
                connections.add_metric(labels, sum(row["clients"] for row in rows))
                chosen.add_metric(labels, sum(row["chosen"] for row in rows))
    yield from (up, weight, connections, chosen, waiting)


def _gauge(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"sockproxy_proxy_upstream_{name}", text, labels=LABELS)


def _by_address(parts: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Those that are still upstreams."""
    found: dict[str, list[dict[str, Any]]] = {}
    for part in parts:
        for row in part["upstreams"]:
            if row["state"] != "gone":
                found.setdefault(row["address"], []).append(row)
    return found

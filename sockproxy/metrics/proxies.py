"""What one proxy answers to the question "metrics", as families of samples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from sockproxy.worker.classes import LIVES, SIZES

__all__ = ["proxy_families"]

Answers = list[dict[str, Any]]
GAUGES = (
    ("accelerated", "Whether new connections are accelerated.", "accelerated"),
    ("start_time_seconds", "When the proxy began, since the epoch.", "since"),
    ("connections", "Connections that live.", "connections"),
    ("max_connections", "Connections that it has at most.", "max_connections"),
    ("budget_bytes", "Bytes that may wait per direction.", "budget"),
)
WAYS = ("redirected", "pumped", "short_circuited", "dropped")


def proxy_families(answers: Answers) -> Iterator[Metric]:
    """Of all proxies. Labels are bounded: names, ways, and words of the worker, of which it counts
    so many apart and all others together."""
    yield from _of_each(answers)
    yield from _of_connections(answers)
    yield from _of_reasons(answers)


def _of_each(answers: Answers) -> Iterator[Metric]:
    for name, text, key in GAUGES:
        family = GaugeMetricFamily(f"sockproxy_proxy_{name}", text, labels=["proxy"])
        for each in answers:
            family.add_metric([each["name"]], float(each[key]))
        yield family
    workers = GaugeMetricFamily(
        "sockproxy_proxy_worker_connections",
        "Connections that live, of each worker.",
        labels=["proxy", "worker"],
    )
    for each in answers:
        for number, one in enumerate(each["workers"], 1):
            workers.add_metric([each["name"], str(number)], one["connections"])
    yield workers


def _of_connections(answers: Answers) -> Iterator[Metric]:
    ended = _counter("connections_ended", "Connections that have ended, by how.", "outcome")
    refused = _counter("clients_refused", "Clients reset without an upstream, by why.", "reason")
    carried = _counter("carried_bytes", "Bytes of both directions, by who moved them.", "way")
    holds = CounterMetricFamily(
        "sockproxy_proxy_holds",
        "Times that the kernel was stopped, for a reader was slow.",
        labels=["proxy"],
    )
    for each in answers:
        name = each["name"]
        for one in each["outcomes"]:
            ended.add_metric([name, one["why"]], one["count"])
        for one in each["refusals"]:
            refused.add_metric([name, one["why"]], one["clients"])
        for way in WAYS:
            carried.add_metric([name, way], each[way])
        holds.add_metric([name], each["holds"])
    yield from (ended, refused, carried, holds)
    yield _histogram(
        "connection_duration_seconds", "How long connections lived.", LIVES,
        ((each["name"], each["lives"], each["lived"]) for each in answers),
    )  # fmt: skip
    yield _histogram(
        "connection_size_bytes", "How much connections carried, both directions together.", SIZES,
        ((each["name"], each["sizes"], each["carried"]) for each in answers),
    )  # fmt: skip


def _of_reasons(answers: Answers) -> Iterator[Metric]:
    directions = GaugeMetricFamily(
        "sockproxy_proxy_directions",
        "Directions of connections that live, by who moves their bytes, and why not the kernel.",
        labels=["proxy", "direction", "state", "reason"],
    )
    kept = GaugeMetricFamily(
        "sockproxy_proxy_short_circuits",
        "Connections that live, by why messages do not go past us; no reason: they may.",
        labels=["proxy", "reason"],
    )
    for each in answers:
        for one in each["reasons"]:
            if one["what"] == "past":
                kept.add_metric([each["name"], one["why"]], one["count"])
            else:
                labels = [each["name"], one["what"], one["state"], one["why"]]
                directions.add_metric(labels, one["count"])
    yield from (directions, kept)


def _counter(name: str, text: str, label: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"sockproxy_proxy_{name}", text, labels=["proxy", label])


def _histogram(
    name: str, text: str, bounds: tuple[float, ...], rows: Iterable[tuple[str, list[int], float]]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(f"sockproxy_proxy_{name}", text, labels=["proxy"])
    for proxy, counts, total in rows:
        below = accumulate(counts)
        buckets = [
            (_bound(bound), float(count))
            for bound, count in zip((*bounds, math.inf), below, strict=True)
        ]
        family.add_metric([proxy], buckets, total)
    return family


def _bound(value: float) -> str:
    return "+Inf" if value == math.inf else repr(value)

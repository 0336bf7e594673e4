"""What bypasses tell of themselves, as families of samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from sockproxy.bypass.view import LEFT_PLAIN, TRAFFIC

__all__ = ["bypass_families", "never_less"]

GAUGES = (
    ("sockets", "Enrolled sockets that live.", "live"),
    ("age_seconds", "Seconds since it was attached.", "age"),
    ("budget_bytes", "Bytes that may lie unread in the queue of a socket.", "budget"),
)
COUNTERS = (
    ("sockets_enrolled", "Sockets that were enrolled.", "enrolled"),
    ("connections_paired", "Connections both of whose ends were found.", "paired"),
)
WAYS = (("bypassed", "bypassed"), ("tcp", "passed"))


def never_less(now: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """The same bypass, having sent no less than `before`: of sockets that close while it is looked
    at, what they sent may be missing once, and Prometheus takes a counter that falls for one that
    began anew. before: None, or one that was detached since, counts for nothing."""
    if before is None or now["enrolled"] < before["enrolled"] or now["age"] < before["age"]:
        return now
    return now | {each: max(now[each], before[each]) for each in TRAFFIC}


def bypass_families(seen: list[dict[str, Any]]) -> Iterator[Metric]:
    """Of all bypasses: seen, as bypass_status() has it of each."""
    info = InfoMetricFamily("sockproxy_bypass", "What each bypass is.", labels=["bypass"])
    for each in seen:
        info.add_metric([each["name"]], {"mode": each["mode"], "cgroup": each["cgroup"]})
    yield info
    for name, text, key in GAUGES:
        gauge = GaugeMetricFamily(f"sockproxy_bypass_{name}", text, labels=["bypass"])
        for each in seen:
            gauge.add_metric([each["name"]], each[key])
        yield gauge
    for name, text, key in COUNTERS:
        counter = CounterMetricFamily(f"sockproxy_bypass_{name}", text, labels=["bypass"])
        for each in seen:
            counter.add_metric([each["name"]], each[key])
        yield counter
    for unit in ("bytes", "messages"):
        sent = CounterMetricFamily(
            f"sockproxy_bypass_sent_{unit}",
            f"{unit.capitalize()} that enrolled sockets sent, past TCP or by it.",
            labels=["bypass", "way"],
        )
        for each in seen:
            for way, key in WAYS:
                sent.add_metric([each["name"], way], each[f"{key}_{unit}"])
        yield sent
    left = CounterMetricFamily(
        "sockproxy_bypass_left_plain",
        "Sockets that stayed with TCP, by why.",
        labels=["bypass", "reason"],
    )
    for each in seen:
        for why in LEFT_PLAIN:
            left.add_metric([each["name"], why], each[why])
    yield left

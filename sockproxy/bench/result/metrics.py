"""What is measured: each figure's name, unit, and which way is better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["METRICS", "Metric", "digits_for", "recorded"]

DIGITS = 4


@dataclass(frozen=True, slots=True)
class Metric:
    """One kind of figure. digits: after the point, when shown. scale: shown = figure / scale."""

    key: str
    title: str
    more_is_better: bool
    digits: int = 0
    scale: float = 1.0

    def show(self, figure: float) -> str:
        """The figure in the metric's unit and with its digits, as tables have it."""
        return f"{figure / self.scale:,.{self.digits}f}"


def digits_for(figure: float) -> int:
    """How many digits after the point show four digits of a figure, as far as it has them."""
    return max(0, DIGITS - 1 - math.floor(math.log10(figure))) if figure > 0 else 0


METRICS = {
    metric.key: metric
    for metric in (
        Metric("gbit_per_s", "Gbit/s", True, 2),
        Metric("per_s", "1000 transactions/s", True, 2, 1e3),
        Metric("mean_us", "mean latency, us", False, 1),
        Metric("p50_us", "median latency, us", False, 1),
        Metric("p99_us", "p99 latency, us", False, 0),
        Metric("cpu_s_per_gb", "CPU s per GB", False, 3),
        Metric("cpu_us_per_transaction", "CPU us per transaction", False, 2),
        Metric("switches_per_transaction", "context switches per transaction", False, 1),
    )
}
"""By key. A case has some of them; its headline is "gbit_per_s" or "per_s", or, where its tool is
made of commands, that tool's own."""


def recorded(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Metric]:
    """The metrics that a document's part `metrics` describes, by key: those of the version that
    made the document."""
    return {
        key: Metric(key, it["title"], it["more_is_better"], it["digits"], it["scale"])
        for key, it in metrics.items()
    }

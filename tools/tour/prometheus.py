"""A Prometheus server that scrapes `sockproxy metrics`, and its answers."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tools.tour.place import HOME
from tools.tour.programs import eventually, running

__all__ = ["Line", "Prometheus", "lines_of", "prometheus"]

PORT = 9090
SCRAPE = 1  # seconds
CONFIGURATION = """\
global: {{scrape_interval: {scrape}s}}
scrape_configs:
  - job_name: sockproxy
    static_configs: [{{targets: ["127.0.0.1:{metrics}"], labels: {{instance: node}}}}]
"""


@dataclass(frozen=True)
class Line:
    """One that an expression gave. points: times and values."""

    labels: dict[str, str]
    points: list[tuple[float, float]] = field(default_factory=list)


class Prometheus:
    """Where it is asked."""

    def __init__(self) -> None:
        self.url = f"http://127.0.0.1:{PORT}"
        self.began = time.time()

    def range(self, expression: str, end: float, step: float = SCRAPE) -> list[Line]:
        """What an expression gave from the tour's beginning on."""
        asked = {"query": expression, "start": self.began, "end": end, "step": step}
        return lines_of(self._get("query_range", asked))

    def scraped(self) -> bool:
        """Whether it has seen sockproxy at least once."""
        answer = self._get("query", {"query": "sockproxy_build_info"})
        return bool(answer["data"]["result"])

    def graph(self, expression: str, seconds: int) -> str:
        """The address of the page that draws it."""
        asked = {
            "g0.expr": expression,
            "g0.tab": "0",
            "g0.stacked": "0",
            "g0.range_input": f"{seconds}s",
            "g0.step_input": str(SCRAPE),
        }
        return f"{self.url}/classic/graph?{urllib.parse.urlencode(asked)}"

    def _get(self, what: str, asked: dict[str, Any]) -> dict[str, Any]:
        url = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(asked)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            document: dict[str, Any] = json.load(answer)
        return document


def lines_of(answer: dict[str, Any]) -> list[Line]:
    """Of a document of /api/v1/query_range. What is no number is left out, as in any graph."""
    lines = []
    for each in answer["data"]["result"]:
        pairs = [(float(when), float(value)) for when, value in each["values"]]
        points = [(when, value) for when, value in pairs if value == value]
        if points:
            lines.append(Line(each["metric"], points))
    return lines


@contextlib.contextmanager
def prometheus(metrics: int) -> Iterator[Prometheus]:
    """Have one run. metrics: the port that it scrapes."""
    file = HOME / "prometheus.yml"
    file.write_text(CONFIGURATION.format(scrape=SCRAPE, metrics=metrics))
    command = ["prometheus", f"--config.file={file}", f"--web.listen-address=127.0.0.1:{PORT}"]
    command += [f"--storage.tsdb.path={HOME}/prometheus", "--log.level=warn"]
    with running(command, HOME / "prometheus.log"):
        server = Prometheus()

        def ready() -> bool:
            try:
                return server.scraped()
            except OSError:
                return False

        eventually(ready, "Prometheus has scraped nothing")
        yield server

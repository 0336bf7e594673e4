"""Look-ups in a document that several parts of a report need."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sockproxy.bench.report.parts import Comparison
from sockproxy.bench.report.words import NONE, SPACE
from sockproxy.bench.result.document import Document
from sockproxy.bench.result.metrics import Metric, recorded
from sockproxy.bench.result.summary import Rounds, figures, ratio_to

__all__ = ["Facts", "Kind"]

OUR_PROGRAM = "-m sockproxy"  # after the name of Python


class Kind(StrEnum):
    """What stands between client and server, as reports call it."""

    DIRECT = "direct"
    OURS = "sockproxy's proxies"
    OTHERS = "other proxies"


@dataclass(slots=True)
class Facts:
    """A document, indexed.

    titles: of systems, by key. metrics: those of the document, by key. cells: entries of the
    summary, by the keys of case, metric and system. samples: by the keys of case and system.
    """

    document: Document
    titles: dict[str, str] = field(init=False)
    metrics: dict[str, Metric] = field(init=False)
    cells: dict[tuple[str, str, str], dict[str, Any]] = field(init=False)
    samples: dict[tuple[str, str], list[dict[str, Any]]] = field(init=False)
    _rounds: dict[tuple[str, str, str], Rounds] = field(init=False)
    _argv: dict[str, list[str] | None] = field(init=False)

    def __post_init__(self) -> None:
        self.titles = {each["key"]: each["title"] for each in self.document["systems"]}
        self.metrics = recorded(self.document["metrics"])
        self.cells = {
            (each["case"], each["metric"], each["system"]): each
            for each in self.document["summary"]
        }
        self._rounds = figures(self.document)
        self._argv = {each["key"]: each["argv"] for each in self.document["systems"]}
        self.samples = {}
        for sample in self.document["samples"]:
            self.samples.setdefault((sample["case"], sample["system"]), []).append(sample)

    @property
    def scenario(self) -> dict[str, Any]:
        """The document's part `scenario`."""
        found: dict[str, Any] = self.document["scenario"]
        return found

    @property
    def cases(self) -> list[dict[str, Any]]:
        """The document's part `cases`."""
        found: list[dict[str, Any]] = self.document["cases"]
        return found

    @property
    def confidence(self) -> str:
        """The confidence of all intervals, for people: "95 %"."""
        return f"{self.scenario['confidence'] * 100:g}{SPACE}%"

    @property
    def costs(self) -> list[str]:
        """The keys of the metrics of CPU time."""
        return [key for key in self.metrics if key.startswith("cpu_")]

    def title(self, system: str) -> str:
        """A system's title; its key where the document has no title."""
        return self.titles.get(system, system)

    def numbered(self, key: str) -> tuple[int, dict[str, Any]] | None:
        """The case of that key with its number, from 0; None where there is none."""
        return next((found for found in enumerate(self.cases) if found[1]["key"] == key), None)

    def kind(self, system: str) -> Kind:
        """What stands between client and server."""
        argv = self._argv.get(system)
        if argv is None:
            return Kind.DIRECT
        return Kind.OURS if " ".join(argv[1:3]) == OUR_PROGRAM else Kind.OTHERS

    def best_other(self, case: dict[str, Any]) -> str:
        """The key of the proxy that has the best headline of those in the case that are not
        sockproxy's, nor in a bypass of it; "" for none."""
        metric = self.metrics[case["headline"]]
        medians = {
            system: self.cells[case["key"], metric.key, system]["median"]
            for system in case["systems"]
            if self.kind(system) is Kind.OTHERS
            and "+" not in system
            and (case["key"], metric.key, system) in self.cells
        }
        choose = max if metric.more_is_better else min
        return choose(medians, key=medians.__getitem__, default="")

    def against(self, case: dict[str, Any]) -> list[str]:
        """The keys of the systems that the others of the case are compared with; the first of
        them is the baseline."""
        return [key for key in self.scenario["against"] if key in case["systems"]]

    def first(self, case: dict[str, Any], *metrics: str) -> str:
        """The first of these metrics of which a system of the case has a figure; "" for none."""
        return next(
            (
                metric
                for metric in metrics
                for system in case["systems"]
                if metric in self.metrics and (case["key"], metric, system) in self.cells
            ),
            "",
        )

    def show(self, case: dict[str, Any], metric: str, system: str) -> str:
        """The median of a metric, in its unit and digits; a dash where there is none."""
        cell = self.cells.get((case["key"], metric, system))
        return self.metrics[metric].show(cell["median"]) if cell else NONE

    def comparison(
        self, case: dict[str, Any], metric: str, system: str, other: str
    ) -> Comparison | None:
        """A system's ratio to another one: the summary's, or, where that has no ratio to the
        other, of the samples in the same way; None where they have no round in common."""
        place = (case["key"], metric, system)
        cell = self.cells.get(place)
        if cell is None or (case["key"], metric, other) not in self.cells:
            return None
        ratio = cell["ratios"].get(other) or ratio_to(self.document, self._rounds, place, other)
        if ratio is None:
            return None
        return Comparison(ratio["ratio"], ratio["low"], ratio["high"], ratio["verdict"])

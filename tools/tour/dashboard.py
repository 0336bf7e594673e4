"""What a dashboard of Grafana's says: its panels, where they are, and what each of them asks."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Panel", "Target", "expression", "height", "legend", "panels_of"]

GRID = 24  # columns
EVERY = ".*"


@dataclass(frozen=True)
class Target:
    """One expression of a panel. legend: what its lines are called, with {{label}} in it."""

    expression: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """Its place is in columns of GRID, and rows from the top."""

    title: str
    kind: str
    unit: str
    x: int
    y: int
    width: int
    height: int
    targets: tuple[Target, ...]


def panels_of(path: Path) -> list[Panel]:
    """Those of a dashboard's file, in its order."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return [
        Panel(
            title=each["title"],
            kind=each["type"],
            unit=each.get("fieldConfig", {}).get("defaults", {}).get("unit", "short"),
            x=each["gridPos"]["x"],
            y=each["gridPos"]["y"],
            width=each["gridPos"]["w"],
            height=each["gridPos"]["h"],
            targets=tuple(
                Target(one["expr"], one.get("legendFormat", "")) for one in each.get("targets", [])
            ),
        )
        for each in document["panels"]
        if each["type"] != "row"
    ]


def height(panels: list[Panel]) -> int:
    """Rows that these take."""
    return max(each.y + each.height for each in panels)


def expression(text: str, interval: str) -> str:
    """What Grafana would ask Prometheus, with all hosts chosen. interval: that of its rates."""
    text = text.replace("$__rate_interval", interval)
    text = text.replace("$instance", EVERY)
    if "$" in text:
        raise SystemExit(f"tour: a variable of the dashboard is not known: {text}")
    return text


def legend(form: str, labels: dict[str, str]) -> str:
    """What a line is called, as Grafana does it."""
    if form in ("", "__auto"):
        inside = ", ".join(
            f'{name}="{value}"' for name, value in labels.items() if name != "__name__"
        )
        return f"{labels.get('__name__', '')}{{{inside}}}"
    found = re.sub(r"{{\s*(\w+)\s*}}", lambda match: labels.get(match[1], ""), form)
    return found.strip() or "-"

"""`sockproxy bench`: measure, compare, report."""

from __future__ import annotations

import click

from sockproxy.cli.on_demand import OnDemand

__all__ = ["bench"]

COMMANDS = {
    "list": "bench.list.list_all",
    "run": "bench.run.run",
    "compare": "bench.compare.compare",
    "report": "bench.report.report",
}


@click.group(name="bench", cls=OnDemand, where=COMMANDS)
def bench() -> None:
    """Measure plain TCP, sockproxy and other proxies side by side, with real tools."""

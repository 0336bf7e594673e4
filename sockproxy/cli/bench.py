"""`sockproxy bench`: measure, compare, report."""

from __future__ import annotations

import click

from sockproxy.cli.on_demand import OnDemand

__all__ = ["bench"]

COMMANDS = {
    "list": "bench_list.list_all",
    "run": "bench_run.run",
    "compare": "bench_compare.compare",
    "report": "bench_report.report",
}


@click.group(name="bench", cls=OnDemand, where=COMMANDS)
def bench() -> None:
    """Measure plain TCP, sockproxy and other proxies side by side, with real tools."""

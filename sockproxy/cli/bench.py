"""`sockproxy bench`: measure, compare, report."""

from __future__ import annotations

import click

from sockproxy.cli.bench_compare import compare
from sockproxy.cli.bench_list import list_all
from sockproxy.cli.bench_report import report
from sockproxy.cli.bench_run import run

__all__ = ["bench"]


@click.group(name="bench")
def bench() -> None:
    """Measure plain TCP, sockproxy and other proxies side by side, with real tools."""


for _command in (list_all, run, compare, report):
    bench.add_command(_command)

"""`sockproxy bench`: measure, compare, report."""

from __future__ import annotations

from importlib import import_module

import click

__all__ = ["bench"]

COMMANDS = {
    "list": "bench_list.list_all",
    "run": "bench_run.run",
    "compare": "bench_compare.compare",
    "report": "bench_report.report",
}


class OnDemand(click.Group):
    """Imports a command when it is asked for: what a benchmark needs takes longer to import
    than all other commands together."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(".")
        found = getattr(import_module(f"sockproxy.cli.{module}"), name)
        assert isinstance(found, click.Command)
        return found


@click.group(name="bench", cls=OnDemand)
def bench() -> None:
    """Measure plain TCP, sockproxy and other proxies side by side, with real tools."""

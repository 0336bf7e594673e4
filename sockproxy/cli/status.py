"""`sockproxy status`: what runs, since when, and what it did."""

from __future__ import annotations

import time
from typing import Any

import click

from sockproxy.cli.output import age, show_json, table
from sockproxy.controller.runtime import ask, running
from sockproxy.units import format_size

__all__ = ["status"]

HEADINGS = ("NAME", "PID", "AGE", "LISTEN", "UPSTREAM", "PATH", "NOW", "ENDED", "RESET",
            "IN KERNEL", "PUMPED", "HOLDS")  # fmt: skip


@click.command(epilog="\b\nExamples:\n  sockproxy status\n  sockproxy status web --watch")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--watch", is_flag=True, help="Show anew every second until Ctrl-C.")
def status(name: str | None, as_json: bool, watch: bool) -> int:
    """Show what runs: one line a proxy, or the one called NAME."""
    while True:
        proxies = [ask(each, "status") for each in ([name] if name else running())]
        if as_json:
            show_json("status", proxies=proxies)
        else:
            if watch:
                click.clear()
            _show(proxies)
        if not watch:
            return 0
        time.sleep(1)


def _show(proxies: list[dict[str, Any]]) -> None:
    if not proxies:
        click.echo("nothing runs; start one with 'sockproxy proxy'", err=True)
        return
    rows = [
        (
            each["name"], each["pid"], age(each["age"]), ",".join(each["listen"]),
            ",".join(each["upstream"]), each["path"], each["connections"],
            each["connections_ended"], each["connections_reset"], format_size(each["redirected"]),
            format_size(each["pumped"]), each["holds"],
        )
        for each in proxies
    ]  # fmt: skip
    table(HEADINGS, rows)
    for each in proxies:
        for why in (each["why_not"], each["why_no_cgroup"]):
            if why:
                click.echo(f"{each['name']}: {why}")

"""`sockproxy connections`: each pair, both its ends, and what was done with its bytes."""

from __future__ import annotations

from typing import Any

import click

from sockproxy.cli.output import age, show_json, table
from sockproxy.controller.runtime import ask, running
from sockproxy.net.address import format_address
from sockproxy.units import format_size

__all__ = ["connections"]

HEADINGS = ("PROXY", "#", "FROM", "TO", "AGE", "STATE", "IN KERNEL", "PUMPED", "DROPPED",
            "HOLDS", "WHY NOT")  # fmt: skip


@click.command(epilog="\b\nExamples:\n  sockproxy connections\n  sockproxy connections web --json")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def connections(name: str | None, as_json: bool) -> int:
    """Show each live connection: one line a direction.

    IN KERNEL counts what was redirected, PUMPED what user space moved with splice(2);
    WHY NOT says why the kernel does not move the bytes at this moment.
    """
    proxies = [ask(each, "connections") for each in ([name] if name else running())]
    if as_json:
        show_json("connections", proxies=proxies)
        return 0
    rows = [row for each in proxies for pair in each["connections"] for row in _rows(each, pair)]
    if rows:
        table(HEADINGS, rows)
    else:
        click.echo("no connections", err=True)
    return 0


def _rows(proxy: dict[str, Any], pair: dict[str, Any]) -> list[tuple[object, ...]]:
    client, upstream = (format_address(pair[end]) for end in ("client", "upstream"))
    return [
        (
            proxy["name"], pair["number"], source, target, age(pair["age"]), way["state"],
            format_size(way["redirected"]), format_size(way["pumped"]), format_size(way["dropped"]),
            way["holds"], way["why"],
        )
        for source, target, way in (
            (client, upstream, pair["forward"]), (upstream, client, pair["backward"])
        )
    ]  # fmt: skip

"""Of `sockproxy status`: which services a bypass that only observes would gain something for."""

from __future__ import annotations

from typing import Any

import click

from sockproxy.cli.output import table
from sockproxy.net.address import format_address
from sockproxy.units import format_size

__all__ = ["show_services"]

HEADINGS = (
    *("BYPASS", "SERVICE", "CONNECTIONS", "WOULD GAIN", "TOO BRIEF", "STREAM", "APART"),
    *("ANSWERS", "BYTES"),
)
MOST = 20  # services of one bypass that are shown


def show_services(bypasses: list[dict[str, Any]]) -> None:
    """A line for each service of those that observe, those with most answers first."""
    seen = [each for each in bypasses if each["mode"] == "observe" and each["services"]]
    if not seen:
        return
    rows = [
        (
            each["name"],
            format_address(row["service"]),
            *(row[each] for each in ("connections", "requests", "brief", "streams", "apart")),
            row["answers"],
            format_size(row["bytes"]),
        )
        for each in seen
        for row in each["services"][:MOST]
    ]
    table(HEADINGS, rows)
    for each in seen:
        if (more := len(each["services"]) - MOST) > 0:
            click.echo(f"{each['name']}: {more} more services: --json has them")

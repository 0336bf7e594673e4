"""Of `sockproxy status`: the upstreams of proxies, and how they stand."""

from __future__ import annotations

from typing import Any

import click

from sockproxy.cli.output import table
from sockproxy.proxy.answers import label_of
from sockproxy.text import clean

__all__ = ["show_upstreams"]

HEADINGS = ("PROXY", "UPSTREAM", "STATE", "WEIGHT", "CLIENTS", "CHOSEN", "WHY")


def show_upstreams(proxies: list[dict[str, Any]]) -> None:
    """A line for each, where there is a choice among them or something to tell; and who waits."""
    rows = [
        row
        for proxy in proxies
        for label, part in _parts(proxy)
        if _is_worth_it(part)
        for row in _rows(label, part)
    ]
    if rows:
        table(HEADINGS, rows)
    for proxy in proxies:
        for label, part in _parts(proxy):
            for line in _lines(part):
                click.echo(f"{label}: {line}")


def _parts(proxy: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Services, and what their clients have instead by the name that they ask for."""
    parts = []
    for service in proxy["services"]:
        label = label_of(proxy["name"], service["name"])
        parts.append((label, service))
        parts += [(f"{label} route", each) for each in service["routed"]]
    return parts


def _is_worth_it(service: dict[str, Any]) -> bool:
    upstreams = service["upstreams"]
    return len(upstreams) > 1 or any(each["state"] != "up" for each in upstreams)


def _rows(label: str, service: dict[str, Any]) -> list[tuple[object, ...]]:
    return [
        (
            label,
            each["address"],
            each["state"],
            _weight(each),
            _clients(each),
            each["chosen"],
            clean(each["why"]),
        )
        for each in service["upstreams"]
    ]


def _weight(upstream: dict[str, Any]) -> str:
    whole, now = upstream["weight"], upstream["weight_now"]
    return f"{whole}" if now == whole else f"{now:g} of {whole}"


def _clients(upstream: dict[str, Any]) -> str:
    most: int | None = upstream["max_connections"]
    return f"{upstream['clients']}" if most is None else f"{upstream['clients']} of {most}"


def _lines(service: dict[str, Any]) -> list[str]:
    lines = []
    if waiting := service["waiting"]:
        who = "client waits" if waiting == 1 else "clients wait"
        lines.append(f"{waiting} {who} for a place at an upstream")
    used = [each for each in service["upstreams"] if each["weight"]]
    if used and all(each["state"] == "down" for each in used):
        lines.append("all upstreams are down: they are tried all the same")
    return lines

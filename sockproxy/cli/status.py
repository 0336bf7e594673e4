"""`sockproxy status`: what runs, since when, and what it did."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from sockproxy.bypass.view import LEFT_PLAIN, bypass_status
from sockproxy.cli.names import NOT_ALL, complete_name, gather
from sockproxy.cli.output import age, show_json, table
from sockproxy.cli.status_services import show_services
from sockproxy.cli.status_upstreams import show_upstreams
from sockproxy.text import clean
from sockproxy.units import format_size

__all__ = ["status"]

HEADINGS = (
    "NAME",
    "PID",
    "AGE",
    "LISTEN",
    "UPSTREAM",
    "PATH",
    "NOW",
    "ENDED",
    "RESET",
    "IN KERNEL",
    "PUMPED",
    "PAST",
    "HOLDS",
)

BYPASS_HEADINGS = (
    "NAME",
    "AGE",
    "MODE",
    "CGROUP",
    "SOCKETS",
    "NOW",
    "PAIRS",
    "BYPASSED",
    "MESSAGES",
    "PASSED",
    "MESSAGES",
    "LEFT PLAIN",
    "RULES",
)
USUAL = Path("/sys/fs/bpf/sockproxy")  # where no line says that a bypass lives


@click.command(epilog="\b\nExamples:\n  sockproxy status\n  sockproxy status web --watch")
@click.argument("name", required=False, shell_complete=complete_name)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--watch", is_flag=True, help="Show anew every second until Ctrl-C.")
def status(name: str | None, as_json: bool, watch: bool) -> int:
    """Show what runs: one line for each proxy and each bypass, or for those called NAME; and the
    upstreams of a proxy that has several, or one that is not up.

    A proxy that does not answer has a line that says so, and the exit status is 1 then.
    """
    while True:
        shown, seen, silent = gather(name, "status", bypass_status)
        if as_json:
            show_json("status", proxies=shown, bypasses=seen, unanswered=silent)
        else:
            if watch:
                click.clear()
            if not shown and not seen and not silent:
                click.echo(
                    "nothing runs; start with 'sockproxy proxy' or 'sockproxy attach'", err=True
                )
            _show(shown, silent, is_bypassed=bool(seen))
            show_upstreams(shown)
            _show_bypasses(seen)
            show_services(seen)
        if not watch:
            return NOT_ALL if silent else 0
        time.sleep(1)


def _show(
    proxies: list[dict[str, Any]], silent: list[dict[str, str]], *, is_bypassed: bool
) -> None:
    if not proxies and not silent:
        return
    rows: list[tuple[object, ...]] = [
        (
            each["name"],
            each["pid"],
            age(each["age"]),
            ",".join(each["listen"]),
            _upstreams(each),
            each["path"],
            each["connections"],
            each["connections_ended"],
            each["connections_reset"],
            format_size(each["redirected"]),
            format_size(each["pumped"]),
            format_size(each["short_circuited"]),
            each["holds"],
        )
        for each in proxies
    ]
    rows += [(each["name"], *["?"] * (len(HEADINGS) - 1)) for each in silent]
    table(HEADINGS, rows)
    for each in proxies:
        for why in (each["why_not"], each["why_no_cgroup"]):
            if why:
                click.echo(f"{each['name']}: {why}")
        if refused := each["connections_refused"]:
            reasons = ", ".join(f"{one['clients']} {one['why']}" for one in each["refusals"])
            many = "" if refused == 1 else "s"
            click.echo(f"{each['name']}: {refused} client{many} refused: {clean(reasons)}")
        if len(each["workers"]) > 1:
            counts = ", ".join(str(one["connections"]) for one in each["workers"])
            click.echo(f"{each['name']}: {len(each['workers'])} workers have {counts} connections")
        if is_bypassed and (why := each["why_no_short_circuit"]):
            click.echo(f"{each['name']}: no short-circuit: {clean(why)}")
    for each in silent:
        click.echo(f"{each['name']}: {clean(each['why'])}")


def _upstreams(proxy: dict[str, Any]) -> str:
    routes = sum(each["routes"] for each in proxy["services"])
    counted = [f"{routes} route{'s' * (routes > 1)}"] if routes else []
    return ",".join([*proxy["upstream"], *counted])


def _show_bypasses(bypasses: list[dict[str, Any]]) -> None:
    if not bypasses:
        return
    rows = [
        (
            each["name"],
            age(each["age"]),
            each["mode"],
            ", ".join(each["cgroups"]),
            each["enrolled"],
            each["live"],
            each["paired"],
            format_size(each["bypassed_bytes"]),
            each["bypassed_messages"],
            format_size(each["passed_bytes"]),
            each["passed_messages"],
            ", ".join(f"{each[why]} {why}" for why in LEFT_PLAIN if each[why]) or "none",
            ", ".join(each["rules"]) or "none",
        )
        for each in bypasses
    ]
    table(BYPASS_HEADINGS, rows)
    for each in bypasses:
        if spared := each["spared_pacing"]:
            many = "" if spared == 1 else "s"
            click.echo(f"{each['name']}: {spared} socket{many} got Reno in place of BBR")
        if each["left_alone"]:
            click.echo(f"{each['name']}: leaves alone {clean(', '.join(each['left_alone']))}")
        if each["place"] != str(USUAL / each["name"]):
            click.echo(f"{each['name']}: lives at {clean(each['place'])}")

"""`sockproxy connections`: each pair, both its ends, and what was done with its bytes."""

from __future__ import annotations

from typing import Any

import click

from sockproxy.bypass.view import bypass_connections
from sockproxy.cli.names import NOT_ALL, complete_name, gather
from sockproxy.cli.output import age, show_json, table, tell
from sockproxy.net.address import format_address
from sockproxy.proxy.answers import label_of
from sockproxy.units import format_size

__all__ = ["connections"]

HEADINGS = (
    "PROXY",
    "#",
    "FROM",
    "TO",
    "AGE",
    "STATE",
    "IN KERNEL",
    "PUMPED",
    "PAST",
    "DROPPED",
    "HOLDS",
    "WHY NOT",
)
BYPASS_HEADINGS = (
    "BYPASS",
    "LOCAL",
    "REMOTE",
    "ROLE",
    "AGE",
    "STATE",
    "BYPASSED",
    "MESSAGES",
    "BY TCP",
    "CONTROL",
    "PIDS",
    "WHY NOT",
)


@click.command(epilog="\b\nExamples:\n  sockproxy connections\n  sockproxy connections web --json")
@click.argument("name", required=False, shell_complete=complete_name)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def connections(name: str | None, as_json: bool) -> int:
    """Show each live connection: of a proxy one line a direction, of a bypass one a socket.

    NAME is the proxy's, with that of its service, if it has one.
    IN KERNEL counts what was redirected, PUMPED what user space moved with splice(2), PAST what
    went from the one end to the other past the proxy.
    BYPASSED counts what a socket of a bypass sent past TCP. CONTROL is the congestion control of
    what it sends by TCP, "reno for bbr" where that took BBR's place. WHY NOT says why the kernel
    does not move the bytes at this moment. What does not answer is named on stderr, and the
    exit status is 1 then.
    """
    proxies, bypasses, silent = gather(name, "connections", bypass_connections)
    code = NOT_ALL if silent else 0
    for each in silent:
        tell(f"{each['name']}: {each['why']}")
    if as_json:
        show_json("connections", proxies=proxies, bypasses=bypasses, unanswered=silent)
        return code
    rows = [row for each in proxies for pair in each["connections"] for row in _rows(each, pair)]
    if rows:
        table(HEADINGS, rows)
    sockets = [_socket(each, end) for each in bypasses for end in each["connections"]]
    if sockets:
        table(BYPASS_HEADINGS, sockets)
    if not rows and not sockets and not silent:
        click.echo("no connections", err=True)
    return code


def _why(pair: dict[str, Any], way: dict[str, Any]) -> str:
    """Why the kernel does not move the bytes; where it does, why they do not go past the proxy."""
    past = pair["why_not_short_circuited"]
    return way["why"] or (f"not past the proxy: {past}" if past else "short-circuit")


def _socket(bypass: dict[str, Any], end: dict[str, Any]) -> tuple[object, ...]:
    return (
        bypass["name"],
        format_address(end["local"]),
        format_address(end["remote"]),
        end["role"],
        age(end["age"]),
        end["state"],
        format_size(end["bypassed_bytes"]),
        end["bypassed_messages"],
        format_size(end["bytes_sent"] - end["bypassed_bytes"]),
        end["congestion_control"] + (f" for {end['spared']}" if end["spared"] else ""),
        ",".join(map(str, end["processes"])) or "-",
        end["why"],
    )


def _rows(proxy: dict[str, Any], pair: dict[str, Any]) -> list[tuple[object, ...]]:
    client, upstream = (format_address(pair[end]) for end in ("client", "upstream"))
    return [
        (
            label_of(proxy["name"], pair["service"]),
            pair["number"],
            source,
            target,
            age(pair["age"]),
            way["state"],
            format_size(way["redirected"]),
            format_size(way["pumped"]),
            format_size(way["short_circuited"]),
            format_size(way["dropped"]),
            way["holds"],
            _why(pair, way),
        )
        for source, target, way in (
            (client, upstream, pair["forward"]),
            (upstream, client, pair["backward"]),
        )
    ]

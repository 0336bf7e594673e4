"""`sockproxy audit`: who attached what, and which connections skipped TCP."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from sockproxy.audit.alive import Alive, last_alive, only_recorder
from sockproxy.audit.answer import Answer, answer
from sockproxy.audit.record import Recorder
from sockproxy.audit.trail import Trail, now, stamp
from sockproxy.bypass.events import Watch
from sockproxy.bypass.view import bypass_connections
from sockproxy.cli.ending import until_told
from sockproxy.cli.names import complete_bypass
from sockproxy.cli.output import show_json, table, tell
from sockproxy.cli.types import DURATION, SIZE
from sockproxy.errors import UsageError
from sockproxy.rundir import sight
from sockproxy.units import format_size

__all__ = ["audit"]

NOT_ALL = 1  # exit status
PAUSE = 0.2  # seconds between two looks of a recorder
EPILOG = """\b
Examples:
  sockproxy audit --record                      # as long as it runs; sockproxy-audit.service does
  sockproxy audit
  sockproxy audit --program redis-server --since 7d --json
"""


@click.command(epilog=EPILOG)
@click.argument("name", required=False, shell_complete=complete_bypass)
@click.option("--program", help="Only connections of the program of that name.")
@click.option(
    "--since", "span", type=DURATION, default="24h", show_default=True, help="How far back."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--record", is_flag=True, help="Write down what skips TCP, until it is ended.")
@click.option(
    "--buffer",
    type=SIZE,
    default="16MiB",
    show_default=True,
    help="With --record: memory for what was not written yet, of each bypass.",
)
def audit(
    name: str | None,
    program: str | None,
    span: float,
    as_json: bool,
    record: bool,
    buffer: int,
) -> int:
    """Show who attached, changed and detached bypasses, and what their connections sent past TCP,
    where neither a firewall nor tcpdump sees it; of all bypasses, or of the one called NAME.

    `attach`, `detach` and `run` note what they do in /var/log/sockproxy/audit.jsonl (another folder
    or "off": SOCKPROXY_AUDIT). Connections are written down while --record runs, when they close.
    Each line names the one before it by its SHA-256, so that a change is found. The answer says
    whether it is all: where nobody recorded, events were lost or lines were changed, it says when,
    and the exit status is 1.
    """
    trail = Trail()
    if not trail.is_kept:
        raise UsageError("no trail is kept: SOCKPROXY_AUDIT is off")
    if record:
        if name or program:
            raise UsageError("--record writes down all bypasses", hint="leave out what chooses")
        return _record(trail, buffer)
    since = stamp(datetime.now(UTC) - timedelta(seconds=span))
    found = answer(trail, since, now(), name, program)
    still_open = _open_now(name)
    if as_json:
        show_json("audit", **asdict(found), open=still_open)
    else:
        _show(found)
        if not last_alive(trail.path.parent)[1]:
            click.echo("Nobody records now: 'sockproxy audit --record' does, or its service.")
        if still_open:
            click.echo(f"{still_open} sockets are open that have: 'sockproxy connections'.")
    return NOT_ALL if found.missing else 0


def _record(trail: Trail, buffer: int) -> int:
    recorder = Recorder(trail)
    with until_told() as is_told, only_recorder(trail.path.parent) as alive:
        recorder.begin(alive.before)
        tell(f"writing down what skips TCP in {trail.path}")
        try:
            with contextlib.closing(Watch(None, buffer, tell, tell)) as watch:
                _follow(watch, recorder, alive, is_told)
        finally:
            recorder.end()
    tell(f"{recorder.written} sockets were written down")
    return 0


def _follow(watch: Watch, recorder: Recorder, alive: Alive, is_told: Callable[[], bool]) -> None:
    while True:
        over = is_told()  # before: what has happened by then is written down
        alive.live()
        recorder.take(watch.take(everything=over))
        if over:
            return
        time.sleep(PAUSE)


def _open_now(name: str | None) -> int:
    """How many sockets live that have sent something past TCP."""
    names = sight.names()
    return sum(
        end["bypassed_bytes"] > 0
        for each in names
        if name in (None, each)
        for end in bypass_connections(each)["connections"]
    )


def _show(found: Answer) -> None:
    if found.actions:
        headings = ("TIME", "WHAT", "BYPASS", "BY", "COMMAND")
        table(headings, [_action(each) for each in found.actions])
        click.echo()
    sums: dict[tuple[str, str], Counter[str]] = {}
    for each in found.skipped:
        key = str(each.get("bypass")), str(each.get("program") or "not known")
        counted = sums.setdefault(key, Counter())
        counted["sockets"] += 1
        counted["bytes"] += int(each.get("bypassed_bytes", 0))
        counted["messages"] += int(each.get("bypassed_messages", 0))
    rows = [
        (*key, counted["sockets"], format_size(counted["bytes"]), counted["messages"])
        for key, counted in sorted(sums.items())
    ]
    if rows:
        table(("BYPASS", "PROGRAM", "SOCKETS", "PAST TCP", "MESSAGES"), rows)
    else:
        click.echo("nothing that was written down skipped TCP")
    click.echo()
    if not found.missing:
        click.echo(
            f"This is all, from {found.since} to {found.until}, of sockets that have closed."
        )
    for why in found.missing:
        click.echo(f"This may not be all: {why}.")


def _action(each: Mapping[str, Any]) -> tuple[object, ...]:
    by = each.get("login") or each.get("sudo") or each.get("user") or "-"
    what = (each.get(key, "") for key in ("time", "action", "bypass"))
    return *what, by, each.get("command", "")

"""`sockproxy events`: what happens to the sockets of bypasses, as it happens."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections.abc import Callable
from datetime import datetime

import click

from sockproxy.bypass.events import EVENTS, Groups, Lost, Told, Watch, as_json, name_of, why_of
from sockproxy.cli.ending import until_told
from sockproxy.cli.names import complete_bypass
from sockproxy.cli.output import SCHEMA, tell
from sockproxy.cli.types import DURATION, SIZE
from sockproxy.errors import UsageError
from sockproxy.net.address import format_address
from sockproxy.rundir import check_name, is_running, sight
from sockproxy.text import clean
from sockproxy.units import format_size

__all__ = ["events"]

PAUSE = 0.05  # seconds between two looks
EPILOG = """\b
Events:
  enrolled   a connection was established; and why it stays plain, if it does
  paired     the same, of one whose other end is on this host and takes part
  left-out   the same, but connections to this service end before they gain by it
  began      the first message of a socket went past TCP, sent by PROGRAM[PID]
  fell-back  and then, for the first time, one by TCP
  left       the socket was taken out of the sockmap, and why
  closed     its connection has ended, with all that it has sent
  lost       so many events there was no memory for (--buffer)

\b
Examples:
  sockproxy events
  sockproxy events web --only began --only left
  sockproxy events web --json --for 1h > web.jsonl
"""


@click.command(epilog=EPILOG)
@click.argument("name", required=False, shell_complete=complete_bypass)
@click.option("--json", "as_lines", is_flag=True, help="Print a JSON document a line.")
@click.option(
    "--only", multiple=True, type=click.Choice(EVENTS), metavar="EVENT", help="Only these."
)
@click.option("--filter", "word", default="", metavar="TEXT", help="Only what has this in it.")
@click.option("--for", "span", type=DURATION, help="End after that time.")
@click.option(
    "--buffer",
    "size",
    type=SIZE,
    default="16MiB",
    show_default=True,
    help="Memory for what was not printed yet, of each bypass.",
)
def events(
    name: str | None,
    as_lines: bool,
    only: tuple[str, ...],
    word: str,
    span: float | None,
    size: int,
) -> int:
    """Show what happens to the sockets of all bypasses, or of the one called NAME, until Ctrl-C or
    until it is detached.

    Each socket is told of by itself: a connection within this host has two. The programs in the
    kernel write only while somebody listens; at most four can, to one bypass. What there was no
    memory for is counted, in an event `lost`, and the exit status is 1 then. A proxy's log has a
    line for each of its connections.
    """
    if name is not None:
        _check(name)
    watch = Watch(None if name is None else [name], size, tell, tell)
    with contextlib.closing(watch), until_told() as is_told:
        tell(f"listening to {', '.join(watch.names) or 'bypasses that are attached from now on'}")
        end = math.inf if span is None else time.monotonic() + span

        def is_over() -> bool:
            return is_told() or time.monotonic() >= end or (name is not None and not watch.names)

        return _print(watch, _Printer(as_lines, set(only), word), is_over)


def _check(name: str) -> None:
    if name not in sight.names() and is_running(check_name(name)):
        raise UsageError(
            f"{name} is a proxy", hint="its log has a line a connection: --log-format json"
        )


def _print(watch: Watch, printer: _Printer, is_over: Callable[[], bool]) -> int:
    while True:
        over = is_over()  # before: what has happened by then is shown
        for each in watch.take(everything=over):
            printer.show(each)
        sys.stdout.flush()
        if over:
            break
        time.sleep(PAUSE)
    lost = printer.lost
    more = f"; {lost} more were lost: use a larger --buffer" if lost else ""
    tell(f"{printer.shown} events{more}")
    return 1 if lost else 0


class _Printer:
    """Prints events, and counts them."""

    def __init__(self, as_lines: bool, only: set[str], word: str) -> None:
        self._as_lines, self._only, self._word = as_lines, only, word
        self._groups = Groups()
        self.shown = self.lost = 0

    def show(self, each: Told | Lost) -> None:
        if isinstance(each, Lost):
            self.lost += each.count
            line = self._lost(each)
        else:
            if self._only and name_of(each.event.kind) not in self._only:
                return
            line = self._json(each) if self._as_lines else _text(each)
            if self._word not in line:
                return
            self.shown += 1
        sys.stdout.write(line + "\n")

    def _json(self, told: Told) -> str:
        return json.dumps({"schema": SCHEMA, "kind": "event", **as_json(told, self._groups)})

    def _lost(self, lost: Lost) -> str:
        if not self._as_lines:
            return f"{lost.name}: {lost.count} events were lost"
        found = {"bypass": lost.name, "event": "lost", "count": lost.count}
        return json.dumps({"schema": SCHEMA, "kind": "event", **found})


def _text(told: Told) -> str:
    event = told.event
    at = datetime.fromtimestamp(told.at).strftime("%H:%M:%S.%f")
    kind = name_of(event.kind)
    ends = f"{format_address(event.local)} > {format_address(event.remote)}"
    by = f"{event.program}[{event.process}]" if event.process else ""
    sent = (
        f"sent {format_size(event.bypassed_bytes)} in {event.bypassed_messages} past TCP,"
        f" {format_size(event.bytes_sent)} by TCP"
        if kind in ("closed", "left")
        else ""
    )
    parts = (at, told.name, f"{kind:9}", event.role.name.lower(), ends, by, sent, why_of(event))
    return "  ".join(clean(each) for each in parts if each)

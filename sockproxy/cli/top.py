"""`sockproxy top`: live connections and their rates."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING

import click

from sockproxy.bypass.view import bypass_connections
from sockproxy.cli.names import NOT_ALL, complete_name, gather
from sockproxy.cli.types import DURATION
from sockproxy.errors import SockproxyError, UsageError
from sockproxy.top.rows import SORTS, Meter, Row, bypass_rows, proxy_rows

if TYPE_CHECKING:
    from sockproxy.top.screen import View

__all__ = ["top"]

EPILOG = """\b
Examples:
  sockproxy top
  sockproxy top web --sort age
  sockproxy top --once --filter 10.0.0.5

\b
Keys: q quit, s sort by another column, w why not the kernel, f filter (Enter ends it), space stop.
"""


@click.command(epilog=EPILOG)
@click.argument("name", required=False, shell_complete=complete_name)
@click.option("--sort", type=click.Choice(tuple(SORTS)), default="rate", show_default=True)
@click.option("--filter", "word", default="", metavar="TEXT", help="Only what has this in it.")
@click.option("--why", is_flag=True, help="Show why not the kernel, in place of bytes so far.")
@click.option("--interval", type=DURATION, default="1s", show_default=True, help="Between looks.")
@click.option("--once", is_flag=True, help="Show the rates of one interval, and end.")
def top(name: str | None, sort: str, word: str, why: bool, interval: float, once: bool) -> int:
    """Show the live connections of all proxies and bypasses, or of those called NAME, with what
    they move a second, and who moves it: the kernel, the relay (user space), past the proxy, a
    bypass, or tcp.
    """
    try:
        from sockproxy.top.screen import View
    except ModuleNotFoundError:
        raise SockproxyError("top needs rich", hint="pip install 'sockproxy[top]'") from None
    view, meter = View(sort=sort, filter=word, why=why), Meter()
    if once:
        _look(name, meter)
        time.sleep(interval)
        rows, silent = _look(name, meter)
        _print(view, rows, silent)
        return NOT_ALL if silent else 0
    if not sys.stdout.isatty():
        raise UsageError("stdout is no terminal", hint="add --once, or see 'sockproxy connections'")
    _watch(name, view, meter, interval)
    return 0


def _look(name: str | None, meter: Meter) -> tuple[list[Row], list[str]]:
    proxies, bypasses, silent = gather(name, "connections", bypass_connections)
    rows = [row for each in proxies for row in proxy_rows(each)]
    rows += [row for each in bypasses for row in bypass_rows(each)]
    lines = [f"{each['name']}: {each['why']}" for each in silent]
    return meter.measure(rows, time.monotonic()), lines


def _print(view: View, rows: list[Row], silent: list[str]) -> None:
    from rich.console import Console

    from sockproxy.top.screen import draw

    width = shutil.get_terminal_size((120, 24)).columns
    Console(width=width).print(draw(view, rows, silent, width))


def _watch(name: str | None, view: View, meter: Meter, interval: float) -> None:
    from rich.live import Live

    from sockproxy.top.keys import keys_of_terminal, next_key
    from sockproxy.top.screen import draw

    with keys_of_terminal() as has_keys, Live(screen=True, auto_refresh=False) as live:
        rows, silent = _look(name, meter)
        due = time.monotonic() + interval
        while True:
            width, height = live.console.size
            live.update(draw(view, rows, silent, width, height), refresh=True)
            if not has_keys:
                time.sleep(interval)
            elif not _obey(view, next_key(due - time.monotonic())):
                return
            if time.monotonic() >= due:
                due = time.monotonic() + interval
                if not view.stopped:
                    rows, silent = _look(name, meter)


def _obey(view: View, pressed: str) -> bool:
    """Whether to go on."""
    for key in pressed:
        if view.typing:
            if key in "\r\n":
                view.typing = False
            elif key in "\x7f\b":
                view.filter = view.filter[:-1]
            elif key.isprintable():
                view.filter += key
        elif key == "q":
            return False
        elif key == "s":
            names = [*SORTS]
            view.sort = names[(names.index(view.sort) + 1) % len(names)]
        elif key == "w":
            view.why = not view.why
        elif key == "f":
            view.filter, view.typing = "", True
        elif key == " ":
            view.stopped = not view.stopped
    return True

"""`sockproxy check`: whether configuration files say what a proxy can do."""

from __future__ import annotations

from pathlib import Path

import click

from sockproxy.cli.output import show_json
from sockproxy.errors import SockproxyError, UsageError
from sockproxy.proxy.config import read_configuration
from sockproxy.text import clean

__all__ = ["check"]

EPILOG = """\b
A file says what the options of 'sockproxy proxy' say, by their names, and may have many services:
  workers = 2                  # max-connections, budget, idle-timeout, grace, relay, ...
  log-format = "json"
  [[service]]
  name = "web"                 # in connections and logs
  listen = ["127.0.0.1:8080", "[::1]:8080"]
  upstream = "app"             # a group, or addresses, or "original-dst"
  connect-timeout = "2s"       # mark, nodelay, keepalive, unix-mode
  [[group]]
  name = "app"
  upstream = ["127.0.0.1:9000", {address = "127.0.0.1:9001", weight = 2, max-connections = 100}]
  slow-start = "30s"
  [group.health]               # "health = {}" connects every 2 s
  interval = "2s"              # timeout, rise, fall
  send = "PING\\r\\n"
  expect = "+PONG"

\b
Examples:
  sockproxy check /etc/sockproxy/*.toml
  sockproxy check edge.toml && sockproxy proxy --config edge.toml
"""


@click.command(epilog=EPILOG)
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE..."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(files: tuple[Path, ...], as_json: bool) -> int:
    """Read configuration files as 'sockproxy proxy --config' would, and start nothing.

    Names are resolved; whether a port is free, or a name taken, is not looked at. What is wrong is
    one line for each file, with the line and the key in it, and the exit status is 2 then.
    """
    results = [(str(each), *_read(each)) for each in files]
    if as_json:
        rows = [{"file": file, "services": count, "error": why} for file, count, why in results]
        show_json("check", files=rows)
    else:
        for file, count, why in results:
            if why:
                click.echo(f"sockproxy: {clean(why)}", err=True)
            else:
                click.echo(f"{clean(file)}: {count} service{'s' * (count > 1)}, as they should be")
    return UsageError.exit_code if any(why for _, _, why in results) else 0


def _read(path: Path) -> tuple[int, str]:
    """How many services it has, and what is wrong; "" for nothing."""
    try:
        return len(read_configuration(path).options.services), ""
    except SockproxyError as error:
        return 0, str(error)

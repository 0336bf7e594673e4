"""`sockproxy reload`: have a running proxy read its file again."""

from __future__ import annotations

import click

from sockproxy.cli.names import complete_proxy
from sockproxy.cli.output import show_json
from sockproxy.errors import SockproxyError
from sockproxy.proxy.asking import ask
from sockproxy.rundir import check_name
from sockproxy.text import clean

__all__ = ["reload"]


@click.command(epilog="\b\nExamples:\n  sockproxy check edge.toml && sockproxy reload edge")
@click.argument("name", shell_complete=complete_proxy)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def reload(name: str, as_json: bool) -> int:
    """Have the proxy NAME read its configuration file again; SIGHUP does the same.

    Sockets that stay are never closed, and connections go on under the rules that they had. Where
    the file is wrong, or a new port is taken, nothing is changed, and the exit status is 1. What
    cannot be changed in a proxy that runs, such as its workers, is said.
    """
    check_name(name)
    answer = ask(name, "reload")
    if as_json:
        show_json("reload", changes=answer["changes"], error=answer["error"])
    elif answer["error"]:
        click.echo(f"sockproxy: {clean(answer['error'])}", err=True)
    else:
        for line in answer["changes"]:
            click.echo(f"{name}: {clean(line)}")
    return SockproxyError.exit_code if answer["error"] else 0

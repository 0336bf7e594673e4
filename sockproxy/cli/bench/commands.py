"""The options of `sockproxy bench run` that make a tool of two commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from sockproxy.bench.load.commands import Commands, Description, split
from sockproxy.bench.load.figure import read_finder
from sockproxy.errors import UsageError

__all__ = ["command_options", "read_commands"]

_PORT = click.IntRange(1, 65535)
_OPTIONS = (
    click.option("--server", metavar="COMMAND", help="Measure this server, in place of SCENARIO."),
    click.option(
        "--client", metavar="COMMAND", help="The client of --server, which ends by itself."
    ),
    click.option(
        "--figure",
        metavar="REGEX|JSONPATH",
        help="The figure in what the client prints: a regular expression with one group, or a"
        " JSONPath, which begins with a dollar.",
    ),
    click.option(
        "--each-second",
        metavar="REGEX|JSONPATH",
        help="The figures of each second in what the client prints, for a plot of long runs.",
    ),
    click.option("--unit", metavar="UNIT", help="The figure's unit, for tables."),
    click.option(
        "--less-is-better", is_flag=True, help="The figure is a latency, or another cost."
    ),
    click.option(
        "--port", type=_PORT, help="The server's port, if it does not take the one in $port."
    ),
    click.option(
        "--ready", type=_PORT, help="Where the server listens first, if that is another port."
    ),
)


def command_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command with these options; read_commands() takes what comes of them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def read_commands(
    server: str | None,
    client: str | None,
    figure: str | None,
    each_second: str | None,
    unit: str | None,
    less_is_better: bool,
    port: int | None,
    ready: int | None,
) -> Commands | None:
    """The tool that the options make; None where none of them is given.

    Raises UsageError when one is missing or wrong, or a program is not there.
    """
    needed = {"--server": server, "--client": client, "--figure": figure}
    missing = [name for name, text in needed.items() if text is None]
    if server is None or client is None or figure is None:
        if len(missing) == len(needed) and not any(
            (each_second, unit, less_is_better, port, ready)
        ):
            return None
        raise UsageError(f"{missing[0]} is missing", hint=f"give {', '.join(needed)}")
    described = Description(
        split(server, "--server"),
        split(client, "--client"),
        read_finder(figure),
        each_second=read_finder(each_second) if each_second is not None else None,
        unit=unit,
        less_is_better=less_is_better,
        port=port,
        ready=ready,
    )
    tool = Commands(described, "--server and --client")
    if absent := tool.missing():
        raise UsageError(f"there is no {absent[0]}", hint="name a program that is on the PATH")
    return tool

"""The load: one module for each program that makes it, and commands.py for any other. See base.py
for what they all do."""

from __future__ import annotations

from pathlib import Path

from sockproxy.bench.load.base import Host, Load, Outcome, Target, Test, Tool
from sockproxy.bench.load.commands import Commands, find_commands
from sockproxy.bench.load.iperf3 import Iperf3
from sockproxy.bench.load.netperf import Netperf
from sockproxy.bench.load.pgbench import Pgbench
from sockproxy.bench.load.pingpong import Pingpong
from sockproxy.bench.load.redis import Redis
from sockproxy.bench.load.wrk import Wrk
from sockproxy.errors import UsageError

__all__ = [
    "TOOLS",
    "Commands",
    "Host",
    "Load",
    "Outcome",
    "Target",
    "Test",
    "Tool",
    "find_commands",
    "find_tool",
]

TOOLS: dict[str, Tool] = {
    tool.name: tool for tool in (Netperf(), Iperf3(), Redis(), Wrk(), Pgbench(), Pingpong())
}
"""Those that come with sockproxy, by name."""


def find_tool(name: str, folder: Path) -> Tool:
    """The tool of that name, or of the TOML file that the name is the path of, from `folder` on.

    Raises UsageError when there is none, or when the file is wrong.
    """
    if name.endswith(".toml"):
        return find_commands(folder / name)
    if name not in TOOLS:
        hint = "or name a TOML file with the commands of one of your own"
        raise UsageError(f"{name!r} is none of {', '.join(TOOLS)}", hint=hint)
    return TOOLS[name]

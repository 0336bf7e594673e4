"""`sockproxy run`: a command whose connections to itself skip TCP."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click

from sockproxy.audit.note import note
from sockproxy.bypass.run import run as run_command
from sockproxy.cli.attach import RULES, bypass_options, read_options
from sockproxy.cli.output import tell
from sockproxy.errors import UsageError
from sockproxy.proof.ask import silent
from sockproxy.units import format_size

__all__ = ["run"]

BEHIND = "sockproxy.cli.run.command"
PLAIN = {
    "unproven": "as their programs are not known to do without FIONREAD (--any-reader takes them)",
    "blocking": "as they are read in blocking mode (--blocking-readers takes them)",
}
EPILOG = f"""\b
Examples:
  sockproxy run -- sh -c 'redis-server --save "" & sleep 1; redis-benchmark -q'
  sockproxy run demo --allow 6379 -- ./integration-tests
  sockproxy status demo                              # meanwhile, elsewhere

{RULES}"""


class WithCommand(click.Command):
    """Remembers what stood behind '--'."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[BEHIND] = args[args.index("--") + 1 :] if "--" in args else []
        return super().parse_args(ctx, args)


@click.command(cls=WithCommand, epilog=EPILOG)
@bypass_options
@click.option("-q", "--quiet", is_flag=True, help="No line about what was done.")
@click.argument("words", nargs=-1, required=True, metavar="[NAME] -- CMD...")
def run(words: tuple[str, ...], quiet: bool, **given: object) -> int:
    """Run CMD in a cgroup of its own, where TCP connections between its processes skip TCP.

    When CMD ends, what it left running is ended too, and nothing is left behind; so it is when
    'run' itself is killed. CMD is run by plain TCP where 'sockproxy doctor' finds the bypass off
    or cannot find out, or there is no cgroup v2 to be seen or made; --force fails then. NAME is
    that of 'status' and 'connections' [default: run-PID].

    \b
    Exit status: that of CMD; 128 + N if signal N ended it; 127 no such command;
    126 it cannot be run; else as of all commands.
    """
    name, argv = _split(words)
    options = read_options(**given)  # type: ignore[arg-type]  # as click has parsed them
    note("run", name, silent if quiet else tell, program=argv[0])
    ran = run_command(name, options, argv, silent if quiet else tell)
    if ran.failed:
        tell(ran.failed)
    elif not quiet:
        if ran.why_not:
            click.echo(f"sockproxy: {name}: by plain TCP: {ran.why_not}", err=True)
        if ran.did is not None:
            click.echo(f"sockproxy: {name}: {_told(ran.did)}", err=True)
    return ran.code


def _told(did: Mapping[str, Any]) -> str:
    plain = "".join(
        f"; {did[count]} sockets stayed plain, {why}" for count, why in PLAIN.items() if did[count]
    )
    return (
        f"{did['paired']} connections paired; past TCP {did['bypassed_messages']} messages,"
        f" {format_size(did['bypassed_bytes'])}; by TCP {did['passed_messages']},"
        f" {format_size(did['passed_bytes'])}{plain}"
    )


def _split(words: tuple[str, ...]) -> tuple[str, list[str]]:
    """NAME and the command: what stands before and behind '--', which click has eaten."""
    command = list(click.get_current_context().meta[BEHIND])
    before = words[: len(words) - len(command)]
    if not command or len(before) > 1:
        raise UsageError("run takes [NAME] -- CMD...", hint="see 'sockproxy run --help'")
    return (before[0] if before else f"run-{os.getpid()}"), command

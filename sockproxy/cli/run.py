"""`sockproxy run`: a command whose connections to itself skip TCP."""

from __future__ import annotations

import os

import click

from sockproxy.cli.attach import RULES, bypass_options, read_options
from sockproxy.controller.run import run as run_command
from sockproxy.errors import UsageError
from sockproxy.units import format_size

__all__ = ["run"]

BEHIND = "sockproxy.cli.run.command"
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

    When CMD ends, what it left running is ended too, and nothing is left behind. The exit
    status is that of CMD. NAME is that of 'status' and 'connections' [default: run-PID].
    """
    name, argv = _split(words)
    options = read_options(**given)  # type: ignore[arg-type]  # as click has parsed them
    code, done = run_command(name, options, argv)
    if not quiet:
        click.echo(
            f"sockproxy: {name}: {done['paired']} connections paired; past TCP"
            f" {done['bypassed_messages']} messages, {format_size(done['bypassed_bytes'])};"
            f" by TCP {done['passed_messages']}, {format_size(done['passed_bytes'])}",
            err=True,
        )
    return code


def _split(words: tuple[str, ...]) -> tuple[str, list[str]]:
    """NAME and the command: what stands before and behind '--', which click has eaten."""
    command = list(click.get_current_context().meta[BEHIND])
    before = words[: len(words) - len(command)]
    if not command or len(before) > 1:
        raise UsageError("run takes [NAME] -- CMD...", hint="see 'sockproxy run --help'")
    return (before[0] if before else f"run-{os.getpid()}"), command

"""The command line of the suites."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from sockproxy.bench.interrupt import Interrupted, held, watching
from sockproxy.errors import SockproxyError
from tests.suites import record
from tests.suites.campaign import BUILD, Campaign
from tests.suites.document import DOCUMENT, page
from tests.suites.errors import SuiteError
from tests.suites.table import Mode, chosen, read_table
from tests.suites.words import as_table

__all__ = ["main"]

BEGUN = time.monotonic()
EPILOG = """\b
Examples:
  python -m tests.suites list
  python -m tests.suites run
  python -m tests.suites run cpython redis/integration/replication
  python -m tests.suites run libuv --again 0 --json
  python -m tests.suites run --record
  python -m tests.suites document
"""


class Commands(click.Group):
    """Ends with one line where an error says what failed."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (SuiteError, SockproxyError) as error:
            raise click.ClickException(str(error)) from None


def say(text: str) -> None:
    """A line of progress, with the seconds since the beginning."""
    click.echo(f"[{time.monotonic() - BEGUN:4.0f} s] {text}", err=True)


@click.group(cls=Commands, epilog=EPILOG)
def main() -> None:
    """Run other projects' test suites plain and bypassed, and compare test by test.

    \b
    Exit status: 0 the same; 1 a test did what plain it never did, or nothing shows that;
    2 usage; 128 + N ended by signal N, with everything undone.
    """


@main.command("list")
def show() -> None:
    """The suites and modes of suites.toml."""
    table = read_table()
    for suite in table.suites:
        origin = f"Debian's source {suite.source}" if suite.source else "Debian's package"
        click.echo(f"{suite.name:8} {origin}: {', '.join(suite.parts)}")
    for mode in table.modes:
        told = "" if mode.counts else ", which does not count"
        click.echo(f"mode {mode.name}: attach {' '.join(mode.options) or 'by default'}{told}")


@main.command()
@click.argument("words", nargs=-1, metavar="[SUITE[/PART]]...")
@click.option("--mode", "names", multiple=True, metavar="MODE",
              help="Of suites.toml; may be repeated. By default those that count.")  # fmt: skip
@click.option("--again", default=5, show_default=True, type=click.IntRange(0),
              help="How often a part with differences is run again, each way.")  # fmt: skip
@click.option(
    "--out",
    default=BUILD / "logs",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where logs go; build/suites/logs by default.",
)
@click.option("--update", is_flag=True, help="Take newer sources if there are any.")
@click.option("--record", "recorded", is_flag=True, help="Keep the result in tests/suites/results.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def run(
    words: tuple[str, ...],
    names: tuple[str, ...],
    again: int,
    out: Path,
    update: bool,
    recorded: bool,
    as_json: bool,
) -> None:
    """Run suites, or some parts of them, all by default.

    What differs is run again, to tell what is unsteady anyway from what a bypass changes.
    """
    if recorded and words:
        raise click.UsageError("--record wants all suites")
    table = read_table()
    modes = _modes(table.modes, names)
    campaign = Campaign(chosen(table, words), modes, again, out.resolve(), say, update)
    if os.geteuid() != 0:
        raise SuiteError("only root may make network namespaces", "run it as root")
    told, code = record.begin(modes, again, words), 0
    with watching():
        try:
            campaign.run(told)
        except Interrupted as error:
            code = 128 + error.number
        finally:
            with held():
                record.save(told, out / "suites.json")
    why = record.why_failed(told)
    if recorded and not code:
        say(f"recorded: {record.save(told, record.RESULTS / f'{_kernel()}.json')}")
    click.echo(json.dumps(told, indent=1) if as_json else "\n".join([*as_table(told), *why]))
    sys.exit(code or bool(why))


def _modes(modes: Sequence[Mode], names: tuple[str, ...]) -> list[Mode]:
    if unknown := set(names) - {each.name for each in modes}:
        there = ", ".join(each.name for each in modes)
        raise SuiteError(f"no mode {', '.join(sorted(unknown))}", f"there are {there}")
    return [each for each in modes if (each.name in names if names else each.counts)]


def _kernel() -> str:
    """The kernel's version, without what its builder has added: 6.18.44."""
    return os.uname().release.split("-")[0]


@main.command()
def document() -> None:
    """Make docs/suites.md from the recorded results."""
    DOCUMENT.write_text(page(record.recorded()))
    click.echo(DOCUMENT)

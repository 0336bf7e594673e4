"""The command line of the matrix."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

import click

from vagrant.matrix import campaign as runner
from vagrant.matrix.document import DOCUMENT, page, recorded
from vagrant.matrix.errors import MatrixError
from vagrant.matrix.kernels import CHECKOUT, RESULTS, chosen, read_table
from vagrant.matrix.results import FAILED, compare, load, save
from vagrant.matrix.table import as_table
from vagrant.matrix.vagrantfile import VAGRANTFILE, vagrantfile

__all__ = ["main"]

OUT = CHECKOUT / "build" / "matrix"
BEGUN = time.monotonic()
EPILOG = """\b
Examples:
  python -m vagrant.matrix list
  python -m vagrant.matrix run 6.12
  python -m vagrant.matrix run --ci --jobs 1
  python -m vagrant.matrix run --doctor-only
  python -m vagrant.matrix run newest --update --record
  python -m vagrant.matrix run 6.1 -- -k half_close
  python -m vagrant.matrix document
"""


class Commands(click.Group):
    """Ends with one line where a MatrixError says what failed."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except MatrixError as error:
            raise click.ClickException(str(error)) from None


def say(text: str) -> None:
    """A line of progress, with the seconds since the beginning."""
    click.echo(f"[{time.monotonic() - BEGUN:4.0f} s] {text}", err=True)


@click.group(cls=Commands, epilog=EPILOG)
def main() -> None:
    """Try sockproxy on other kernels, under emulation.

    \b
    Exit status: 0 all passed; 1 a kernel failed, or something is missing; 2 usage.
    """
    # SIGTERM ends guests as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@main.command("list")
def show() -> None:
    """The kernels of kernels.toml, and which packages are there already."""
    for kernel in read_table():
        found = runner.KERNELS / kernel.name / "kernel.json"
        have = json.loads(found.read_text())["version"] if found.exists() else "not fetched"
        where = "this machine's" if kernel.is_host else f"{kernel.suite}, {have}"
        click.echo(f"{kernel.name:8} {where}{', in CI' if kernel.ci else ''}")


@main.command()
@click.argument("names", nargs=-1, metavar="[KERNEL]...")
@click.option("--update", is_flag=True, help="Take newer packages if there are any.")
def fetch(names: tuple[str, ...], update: bool) -> None:
    """Download and unpack kernels, all by default."""
    kernels = chosen(read_table(), names)
    for name, found in runner.fetch_all(kernels, update, say).items():
        click.echo(f"{name:8} {found.version:16} {found.image}")


@main.command(context_settings={"allow_interspersed_args": True})
@click.argument(
    "arguments", nargs=-1, metavar="[KERNEL]... [-- PYTEST ARGUMENT...]", type=click.UNPROCESSED
)
@click.option("--ci", is_flag=True, help="Those of kernels.toml with ci = true.")
@click.option(
    "--jobs", default=2, show_default=True, type=click.IntRange(1), help="Guests at a time."
)
@click.option(
    "--out",
    default=OUT,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the results go; build/matrix by default.",
)
@click.option("--update", is_flag=True, help="Take newer packages if there are any.")
@click.option("--doctor-only", is_flag=True, help="Leave out the conformance tests.")
@click.option("--record", is_flag=True, help="Keep the results in vagrant/results.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def run(
    arguments: tuple[str, ...],
    ci: bool,
    jobs: int,
    out: Path,
    update: bool,
    doctor_only: bool,
    record: bool,
    as_json: bool,
) -> None:
    """Run doctor and the conformance tests on kernels, all by default."""
    names, pytest_args = _split(arguments)
    if record and doctor_only:
        raise click.UsageError("--record wants the conformance tests too")
    kernels = chosen(read_table(), names, ci)
    records = runner.campaign(kernels, out, jobs, say, update, doctor_only, pytest_args)
    for each in records:
        place = RESULTS / f"{each['name']}.json"
        if place.exists():
            compare(each, load(place))
        if record:
            say(f"recorded: {save(each, RESULTS)}")
    if as_json:
        click.echo(json.dumps({"schema": 1, "kind": "matrix run", "results": records}, indent=1))
    else:
        click.echo("\n".join(as_table(records)))
    sys.exit(any(each["outcome"] in FAILED for each in records))


def _split(arguments: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Kernels, and what follows `--` on the command line: click itself drops that mark."""
    count = len(sys.argv) - sys.argv.index("--") - 1 if "--" in sys.argv else 0
    cut = len(arguments) - count
    return list(arguments[:cut]), list(arguments[cut:])


@main.command()
def document() -> None:
    """Make docs/kernels.md from the recorded results."""
    DOCUMENT.write_text(page(recorded(), read_table()))
    click.echo(DOCUMENT)


@main.command("vagrantfile")
def write_vagrantfile() -> None:
    """Make vagrant/Vagrantfile from kernels.toml."""
    VAGRANTFILE.write_text(vagrantfile(read_table()))
    click.echo(VAGRANTFILE)

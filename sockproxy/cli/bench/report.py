"""`sockproxy bench report`: a result as a page, as Markdown, or its samples as CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from sockproxy.bench.report import html, samples
from sockproxy.bench.report import markdown as plain
from sockproxy.bench.result.document import Document, latest, load, understood, write_whole
from sockproxy.cli.output import show_json
from sockproxy.errors import UsageError

__all__ = ["report"]

STDOUT = Path("-")
EPILOG = """\b
Examples:
  sockproxy bench report
  sockproxy bench report standard.json --output report.html --markdown report.md
  sockproxy bench report standard.json --markdown -
  sockproxy bench report standard.json --csv samples.csv

\b
The page needs "pip install 'sockproxy[report]'"; Markdown and CSV need nothing.
"""
PLACE = click.Path(dir_okay=False, allow_dash=True, path_type=Path)


@click.command(epilog=EPILOG)
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--output", type=PLACE, help="The page's place, - for stdout.  [default: beside FILE, as .html]"
)
@click.option(
    "--markdown", type=PLACE, help="Markdown's place, - for stdout; without --output, no page."
)
@click.option(
    "--csv",
    type=PLACE,
    help="The place of all samples as CSV, - for stdout; without --output, no page.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def report(
    file: Path | None,
    output: Path | None,
    markdown: Path | None,
    csv: Path | None,
    as_json: bool,
) -> int:
    """Make a page of FILE, a result that 'bench run' has kept: by default the newest.

    The page is one file with its plots inside: it can be mailed, and read without a network.
    CSV has a row for each run, with all its figures: rates per second, latencies in
    microseconds, CPU in seconds, and what carried how many bytes.
    """
    source = file or latest()
    if not source.name:
        raise UsageError(f"read {source}: it is a directory", hint="name a result's file")
    if output is None and markdown is None and csv is None:
        output = source.with_suffix(".html")
    kinds: list[tuple[str, Path | None, Callable[[Document], str]]] = [
        ("html", output, html.render),
        ("markdown", markdown, plain.render),
        ("csv", csv, samples.render),
    ]
    wanted = [(kind, path, render) for kind, path, render in kinds if path is not None]
    _check(source, [path for _, path, _ in wanted], as_json)
    document = load(source)
    # All are made before any is written: when one fails, none is there.
    with understood(source):
        made = [(kind, path, render(document)) for kind, path, render in wanted]
    for _, path, text in made:
        _write(path, text.encode(errors="replace"))
    if as_json:
        show_json("bench-report", source=str(source), **{kind: str(path) for kind, path, _ in made})
        return 0
    for _, path, _ in made:
        if path != STDOUT:
            # When a report goes to stdout, nothing else may.
            click.echo(path, err=any(other == STDOUT for _, other, _ in made))
    return 0


def _check(source: Path, places: Sequence[Path], as_json: bool) -> None:
    """Raise UsageError when two of source, page, Markdown, CSV and JSON have the same place."""
    if as_json and STDOUT in places:
        raise UsageError("--json and - both need stdout", hint="give a file")
    resolved = [path if path == STDOUT else path.resolve() for path in places]
    if len(set(resolved)) < len(resolved):
        names = "--output, --markdown and --csv"
        raise UsageError(f"two of {names} are the same", hint="give each its own place")
    if source.resolve() in resolved:
        raise UsageError(f"{source} is the result itself", hint="give another --output")


def _write(path: Path, content: bytes) -> None:
    if path == STDOUT:
        click.echo(content, nl=False)
    else:
        write_whole(path, content)

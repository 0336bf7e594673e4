"""`sockproxy schema`: the shapes of what is printed as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import click

from sockproxy.cli.output import table

__all__ = ["schema"]

FOLDER = Path(__file__).parents[1] / "schema"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
EPILOG = """\b
Examples:
  sockproxy schema
  sockproxy schema status > status.schema.json
"""


@click.command(epilog=EPILOG)
@click.argument("name", required=False, type=click.Choice(NAMES), metavar="[NAME]")
def schema(name: str | None) -> int:
    """Print the JSON Schema (draft 2020-12) of what is printed as JSON; without NAME, which there
    are.

    NAME is the `kind` of a document, or "log" for a line of a log in JSON. Fields may be added
    in a later version; `schema` in a document grows when one is removed or changes its meaning.
    """
    if name is not None:
        click.echo(_read(name), nl=False)
    else:
        table(("NAME", "OF"), [(each, json.loads(_read(each))["title"]) for each in NAMES])
    return 0


def _read(name: str) -> str:
    return (FOLDER / f"{name}.json").read_text()

"""`sockproxy bench list`: what can run here, and what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sockproxy.bench.load import TOOLS
from sockproxy.bench.peers import find_peers
from sockproxy.bench.scenario import find_scenario, scenario_files
from sockproxy.bench.systems import DIRECT
from sockproxy.cli.output import show_json, table

__all__ = ["list_all"]

EPILOG = """\b
Examples:
  sockproxy bench list
  sockproxy bench list --json --peers ./my-peers
"""


@click.command(name="list", epilog=EPILOG)
@click.option(
    "--peers",
    "folder",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="A folder with more proxies: a TOML file each.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_all(folder: Path | None, as_json: bool) -> int:
    """Show scenarios, systems and tools, and what to install for those that cannot run here."""
    scenarios, systems, tools = _scenarios(), _systems(folder), _tools()
    if as_json:
        show_json("bench-list", scenarios=scenarios, systems=systems, tools=tools)
        return 0
    table(
        ("SCENARIO", "CASES", "RUNS", "ABOUT", "WHAT IT DOES"),
        [
            (each["name"], each["cases"], each["runs"], f"{each['minutes']} min", each["title"])
            for each in scenarios
        ],
    )
    click.echo()
    table(
        ("SYSTEM", "HERE", "WHAT IT IS"),
        [
            (each["key"], _here(each["missing"]), f"{each['title']}: {each['about']}")
            for each in systems
        ],
    )
    click.echo(
        "Proxies of others, and relay, also as NAME+bypass: with client and server in a bypass.\n"
    )
    table(
        ("TOOL", "HERE", "TESTS"),
        [(each["name"], _here(each["missing"]), " ".join(each["tests"])) for each in tools],
    )
    click.echo("Any other server and client by 'bench run --server --client --figure'.")
    missing = [each for each in (*systems, *tools) if each["missing"]]
    for each in missing:
        name = each.get("key") or each["name"]
        click.echo(f"{name}: no {', '.join(each['missing'])}; {each['install']}", err=True)
    return 0


def _here(missing: list[str]) -> str:
    return "no" if missing else "yes"


def _scenarios() -> list[dict[str, Any]]:
    found = [find_scenario(name) for name in scenario_files()]
    return [
        {
            "name": each.name,
            "title": each.title,
            "cases": len(each.cases),
            "runs": each.runs,
            "rounds": each.rounds,
            "minutes": max(1, round(each.expected_seconds / 60)),
        }
        for each in found
    ]


def _systems(folder: Path | None) -> list[dict[str, Any]]:
    return [
        {"key": each.key, "title": each.title, "about": each.about, "install": "", "missing": []}
        for each in DIRECT.values()
    ] + [
        {
            "key": each.key,
            "title": each.title,
            "about": each.about,
            "install": each.install,
            "missing": [each.program] if each.is_missing() else [],
        }
        for each in find_peers(folder).values()
    ]


def _tools() -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "title": each.title,
            "tests": list(each.tests),
            "install": each.install,
            "missing": each.missing(),
        }
        for each in TOOLS.values()
    ]

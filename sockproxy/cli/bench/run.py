"""`sockproxy bench run`: play a scenario, print its table, keep the document."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from sockproxy.bench.campaign import Campaign
from sockproxy.bench.interrupt import Interrupted, held, watching
from sockproxy.bench.peers import find_peers
from sockproxy.bench.report.text import render
from sockproxy.bench.result.document import Document, check_place, results_folder, save
from sockproxy.bench.scenario import Scenario, find_scenario, scenario_of
from sockproxy.cli.bench.commands import command_options, read_commands
from sockproxy.cli.types import DURATION
from sockproxy.errors import PermissionDenied, SockproxyError, UsageError
from sockproxy.text import clean

__all__ = ["run"]

FAILED = 1
EPILOG = """\b
Examples:
  sockproxy bench run quick
  sockproxy bench run standard --output standard.json
  sockproxy bench run ./mine.toml --rounds 20 --only netperf --peers ./my-peers
  sockproxy bench run --server 'iperf3 -s -p $port' --client 'iperf3 -J -c $address -p $port' \\
      --figure '$.end.sum_received.bits_per_second' --unit bit/s
  sockproxy bench run --server 'redis-server --port $port --save ""' --unit requests/s \\
      --client 'redis-benchmark --csv -t get -h $address -p $port' --figure '"GET","([0-9.]+)"'

\b
Exit status: 0 all was measured; 1 something failed, the rest was kept; 2 usage;
3 not root; 4 no cgroup v2, nft or BPF; 128 + N ended by signal N, with what was
measured kept.
"""


@click.command(epilog=EPILOG)
@click.argument("scenario", required=False)
@command_options
@click.option(
    "--rounds",
    type=click.IntRange(1, 1000),
    help="How often each system has its turn, in place of the scenario's number.",
)
@click.option(
    "--seconds", type=click.IntRange(1, 3600), help="Length of one run, in place of the scenario's."
)
@click.option(
    "--only",
    multiple=True,
    metavar="WORD",
    help="Only cases with WORD in their name; may be repeated.",
)
@click.option(
    "--system",
    "systems",
    multiple=True,
    metavar="SYSTEM",
    help="Only this system, and those it is compared with; may be repeated. Of commands any one"
    " of 'bench list'.",
)
@click.option(
    "--peers",
    "folder",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="A folder with more proxies: a TOML file each.",
)
@click.option("--seed", type=int, help="The seed of the order of turns.  [default: random]")
@click.option(
    "--timeout",
    "slack",
    type=DURATION,
    default="20s",
    show_default=True,
    help="How much longer than twice its time a tool may take.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep the result there.  [default: in the state directory]",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="Print the result's JSON, not the table.")
def run(
    scenario: str | None,
    rounds: int | None,
    seconds: int | None,
    only: tuple[str, ...],
    systems: tuple[str, ...],
    folder: Path | None,
    seed: int | None,
    slack: float,
    output: Path | None,
    quiet: bool,
    as_json: bool,
    **commands: Any,
) -> int:
    """Measure what SCENARIO says: the name of one of 'bench list', or a TOML file. Or any other
    server and client, by --server, --client and --figure.

    Works in network namespaces and cgroups of its own, and leaves nothing behind. Every
    system has its turn in every round, in random order. Ctrl-C keeps what was measured.

    In commands, $address and $port are where the server is to listen, and the client to connect;
    $seconds is the length of a run, and $folder an empty directory. No shell reads them: for a
    pipe write sh -c '...'. The server has to stay in the foreground, and serve IPv4.
    """
    chosen = _choose(scenario, commands, systems).narrowed(rounds, seconds, only, systems)
    campaign = Campaign(
        chosen,
        find_peers(folder),
        seed=random.randrange(1 << 32) if seed is None else seed,
        slack=slack,
        progress=_silent if quiet else _say,
    )
    if os.geteuid() != 0:
        raise PermissionDenied("make network namespaces", hint="run 'sockproxy bench' as root")
    path = output or _default_path(chosen)
    check_place(path)
    code, kept = 0, False
    with watching():
        try:
            campaign.run()
        except Interrupted as error:
            code = 128 + error.number
        finally:
            with held():  # before it is shown: stdout may be closed
                kept = _keep(campaign.document, path)
    if code:
        _say("interrupted: everything is undone; what was measured is kept")
    click.echo(json.dumps(campaign.document, indent=1) if as_json else render(campaign.document))
    return code or _failures(campaign.document) or (0 if kept else FAILED)


def _choose(scenario: str | None, commands: dict[str, Any], systems: Sequence[str]) -> Scenario:
    """The scenario of that name, or of the commands that were given in its place."""
    tool = read_commands(**commands)
    if tool is None and scenario is None:
        raise UsageError("no scenario", hint="name one of 'bench list', or give --server")
    if tool is not None and scenario is not None:
        raise UsageError(f"{scenario} and --server exclude each other", hint="leave one out")
    return find_scenario(scenario or "") if tool is None else scenario_of(tool, systems)


def _keep(document: Document, path: Path) -> bool:
    """Keep the document at `path`, or in the directory for temporary files when that fails.

    Returns whether it is at `path`, or there was nothing to keep.
    """
    if not document["samples"]:
        return True
    try:
        save(document, path)
        _say(f"kept in {path}; 'sockproxy bench report {path}' makes a page of it")
        return True
    except SockproxyError as error:
        other = Path(tempfile.gettempdir()) / path.name
        with contextlib.suppress(SockproxyError):
            save(document, other)
            _say(f"kept in {other}")
        _say(f"failed: {error}")
        return False


def _failures(document: Document) -> int:
    for each in document["failures"]:
        _say(f"failed: {' '.join(filter(None, (each['case'], each['system'])))}: {each['why']}")
    if not document["samples"] and not document["failures"]:
        raise SockproxyError("nothing could be measured", hint="see 'sockproxy bench list'")
    return FAILED if document["failures"] else 0


def _default_path(scenario: Scenario) -> Path:
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    return results_folder() / f"{scenario.name}-{now}.json"


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # stderr is closed: the result must still be kept
        click.echo(f"bench: {clean(line)}", err=True)


def _silent(line: str) -> None:
    del line

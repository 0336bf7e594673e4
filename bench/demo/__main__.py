"""The command: options, signals, and the order in which things are set up and undone."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from bench.demo import machine, report
from bench.demo.campaign import Campaign
from bench.demo.load import load_servers
from bench.demo.network import Network
from bench.demo.systems import running_systems
from sockproxy.errors import SockproxyError

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _say(line: str) -> None:
    print(f"demo: {line}", file=sys.stderr, flush=True)


class Interrupted(Exception):
    """A signal asked us to end; its number is the only argument."""


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    # What is undone from here on takes at most a second: a second Ctrl-C must not cut it.
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(number)


def _measure(rounds: int, seconds: int, seed: int, output: Path | None) -> None:
    optional = machine.check_tools()
    share = machine.busy_share(0.5)
    if share > machine.BUSY:
        _say(f"warning: {share:.0%} of this machine's CPUs are busy with other things")
    began = time.monotonic()
    with contextlib.ExitStack() as undo:
        network = undo.enter_context(contextlib.closing(Network()))
        load = undo.enter_context(load_servers(network))
        haproxy = "haproxy" in optional
        systems = undo.enter_context(running_systems(network, haproxy=haproxy))
        cpus = machine.choose_cpus()
        campaign = Campaign(
            network, load, systems,
            rounds=rounds, seconds=seconds, cpus=cpus, seed=seed, progress=_say,
        )  # fmt: skip
        samples = campaign.run()
        sysctls = network.sysctls()
    took = time.monotonic() - began
    about = machine.describe()
    print(f"{machine.headline(about)}; {rounds} rounds of {seconds} s runs\n")
    print(report.render(samples, systems), flush=True)
    if sentence := report.unstable(samples, systems):
        _say(f"unstable: {sentence}; run again with more --rounds on a quiet machine")
    _say(f"took {took:.0f} s")
    if output is not None:
        settings = {
            "rounds": rounds, "seconds": seconds, "seed": seed, "cpus": cpus,
            "sysctls": sysctls, "busy_before": share, "took": took,
        }  # fmt: skip
        document = report.document(samples, systems, about, settings)
        output.write_text(json.dumps(document, indent=1) + "\n")


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=4, show_default=True,
              help="How often each system has its turn.")  # fmt: skip
@click.option("--seconds", type=click.IntRange(1), default=1, show_default=True,
              help="Length of one run.")  # fmt: skip
@click.option("--seed", type=int, help="Of the order of turns.  [default: random]")
@click.option("--json", "output", type=click.Path(dir_okay=False, path_type=Path),
              help="Write all samples there.")  # fmt: skip
def main(rounds: int, seconds: int, seed: int | None, output: Path | None) -> None:
    """Measure plain TCP, user-space relays and the accelerated proxy side by side.

    Needs root, iperf3, netperf and nftables. Works in network namespaces of its own and
    leaves nothing behind.
    """
    for number in ENDING:
        signal.signal(number, _interrupt)
    try:
        _measure(rounds, seconds, random.randrange(1 << 32) if seed is None else seed, output)
    except SockproxyError as error:
        _say(str(error))
        sys.exit(error.exit_code)
    except Interrupted as error:
        _say("interrupted: all is undone")
        sys.exit(128 + error.args[0])


if __name__ == "__main__":
    main()

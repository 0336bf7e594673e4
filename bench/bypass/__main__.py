"""The command: cases, turns in random order, and a table of medians and ratios."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from bench.demo import machine
from sockproxy.cgroup import create_owned
from sockproxy.controller.bypass import BypassOptions, attach, detach
from sockproxy.controller.bypass_view import bypass_status
from sockproxy.errors import SockproxyError, Unsupported

NAME = "bench"
SOURCE = Path(__file__).with_name("pingpong.c")
SYSTEMS = ("tcp", "bypass", "unix")
CASES = (
    ("rr", 64),
    ("rr", 1024),
    ("rr", 16384),
    ("rr", 65536),
    ("stream", 64),
    ("stream", 1024),
    ("stream", 16384),
    ("stream", 131072),
    ("stream", 1 << 20),
    ("crr", 64),
)
Samples = dict[tuple[str, int, str], list[float]]


def _say(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def compiled() -> Iterator[Path]:
    """pingpong.c as a program, for the length of a `with`."""
    compiler = shutil.which("clang") or shutil.which("cc")
    if compiler is None:
        raise Unsupported("find a C compiler", hint="as root, run tools/setup-debian")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "pingpong"
        subprocess.run([compiler, "-O2", "-o", program, SOURCE], check=True)
        yield program


def run_one(program: Path, system: str, mode: str, size: int, seconds: float) -> float:
    """What one run of one system got done. The bypass's is in this process's cgroup."""
    family = "unix" if system == "unix" else "tcp"
    cpu = machine.choose_cpus()[0]
    argv = [program, family, mode, size, seconds, cpu]
    done = subprocess.run(
        list(map(str, argv)), capture_output=True, text=True, check=True, timeout=seconds + 30
    )
    return float(done.stdout)


def measure(rounds: int, seconds: float, seed: int) -> tuple[Samples, dict[str, Any]]:
    """Every system in each case, in an order that is drawn anew each round."""
    samples: Samples = defaultdict(list)
    turns = random.Random(seed)
    proof: dict[str, Any] = {}
    with compiled() as program, contextlib.ExitStack() as undo:
        group = create_owned("bench")
        undo.callback(group.remove)
        for number in range(rounds):
            for mode, size in CASES:
                _say(f"round {number + 1} of {rounds}: {mode} {size}")
                for system in turns.sample(SYSTEMS, len(SYSTEMS)):
                    if system != "bypass":
                        rate = run_one(program, system, mode, size, seconds)
                    else:
                        attach(NAME, group.path, BypassOptions())
                        try:
                            with group.entered():
                                rate = run_one(program, system, mode, size, seconds)
                            proof[f"{mode} {size}"] = bypass_status(NAME)
                        finally:
                            detach(NAME, 5.0)
                    samples[mode, size, system].append(rate)
    return samples, proof


def table(samples: Samples) -> str:
    """Medians, and ratios of paired runs with their spread."""
    lines = [
        f"{'case':<14}{'TCP':>12}{'bypass':>12}{'AF_UNIX':>12}   {'bypass / TCP':<22}unix / TCP"
    ]
    for mode, size in CASES:
        columns = {system: samples[mode, size, system] for system in SYSTEMS}
        medians = {system: statistics.median(column) for system, column in columns.items()}
        ratios = {
            system: sorted(a / b for a, b in zip(columns[system], columns["tcp"], strict=True))
            for system in ("bypass", "unix")
        }
        spread = f"{ratios['bypass'][0]:.2f} to {ratios['bypass'][-1]:.2f}"
        lines.append(
            f"{mode + ' ' + str(size):<14}"
            + "".join(f"{medians[system]:>12,.0f}" for system in SYSTEMS)
            + f"   {statistics.median(ratios['bypass']):.2f} ({spread}){'':<4}"
            + f"{statistics.median(ratios['unix']):.2f}"
        )
    return "\n".join(lines)


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--seconds", type=click.FloatRange(0.1), default=1.0, show_default=True,
              help="Length of one run.")  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True, help="Of the order of turns.")
@click.option("--json", "output", type=click.Path(dir_okay=False, path_type=Path),
              help="Write all samples there.")  # fmt: skip
def main(rounds: int, seconds: float, seed: int, output: Path | None) -> None:
    """Measure plain TCP, the bypass and AF_UNIX side by side, client and server on one CPU.

    rr and crr are transactions per second, stream is MiB per second.
    """
    began = time.monotonic()
    try:
        busy = machine.busy_share(0.5)
        if busy > machine.BUSY:
            _say(f"warning: {busy:.0%} of this machine's CPUs are busy with other things")
        samples, proof = measure(rounds, seconds, seed)
    except SockproxyError as error:
        _say(str(error))
        sys.exit(error.exit_code)
    print(f"{machine.headline(machine.describe())}; {rounds} rounds of {seconds} s runs\n")
    print(table(samples))
    _say(f"took {time.monotonic() - began:.0f} s")
    if output is not None:
        document = {
            "schema": 1, "kind": "bench-bypass", "machine": machine.describe(),
            "rounds": rounds, "seconds": seconds, "seed": seed, "busy_before": busy,
            "samples": [
                {"mode": mode, "size": size, "system": system, "rates": rates}
                for (mode, size, system), rates in samples.items()
            ],
            "bypassed": {
                case: {key: each[key] for key in (
                    "bypassed_messages", "passed_messages", "streams", "no_gain", "paired")}
                for case, each in proof.items()
            },
        }  # fmt: skip
        output.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()

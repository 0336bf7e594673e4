"""`sockproxy doctor`: what this machine can do, probe by probe."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

import click

from sockproxy.cli.output import show_json
from sockproxy.cli.types import DURATION
from sockproxy.doctor import PASSES, PATIENCE, PROBES, Finding, conclude, examine
from sockproxy.errors import UsageError
from sockproxy.proof.mechanisms import SPLICE, VERDICT_ONLY
from sockproxy.proof.proof import Proof

__all__ = ["doctor"]

ALL, SOME_OFF, UNUSABLE = 0, 1, 2
WIDTH = max(len(probe.name) for probe in PROBES)
EPILOG = """\b
Examples:
  sockproxy doctor
  sockproxy doctor --json
  sockproxy doctor --explain FIONREAD
"""


@click.command(epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--explain", metavar="PROBE", help="What that probe tries, and why; tries nothing.")
@click.option(
    "--patience",
    type=DURATION,
    default=f"{PATIENCE:g}s",
    show_default=True,
    help="Time for each probe: give more on a machine that is slow, or emulated.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show the verifier's log of a refused program.")
def doctor(as_json: bool, explain: str | None, patience: float, verbose: bool) -> int:
    """Try what sockproxy needs of this machine, and which known bugs its kernel has.

    A mechanism is on, on with limits, or off; or not known, where this machine was too busy
    or too short of memory to find out, after three tries with growing patience. Each probe
    works in a cgroup and a network namespace of its own, and leaves nothing behind. What was
    found out is kept until the next boot, for 'attach', 'run' and 'proxy', which do not use
    what is off.

    \b
    Exit status: 0 all is on, but for the verdict without a parser, which is
    exact nowhere; 1 some mechanism is off or not known; 2 the proxy cannot
    accelerate, and relays in user space.
    """
    if explain is not None:
        return _explain(explain)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))  # and tidy up
    found = []
    with contextlib.closing(examine(seconds=patience, passes=PASSES)) as run:
        for finding in run:
            found.append(finding)
            if not as_json:
                _show(finding, verbose)
    conclusion = conclude(found, patience)
    mechanisms, kept = conclusion.proofs, conclusion.kept
    if as_json:
        checks = [
            {
                "name": each.probe.name,
                "kind": each.probe.kind.name.lower(),
                "ok": each.ok,
                "tried": each.tried,
                "conclusive": each.conclusive,
                "found": each.found,
                "hint": each.advice,
                "avoided": each.probe.avoided or None,
            }
            for each in conclusion.findings
        ]
        show_json(
            "doctor",
            kernel=os.uname().release,
            kernel_version=os.uname().version,
            checks=checks,
            kept=str(kept) if kept else None,
            mechanisms={
                name: {
                    "on": each.on,
                    "failed": list(each.failed),
                    "limits": list(each.limits.values()),
                    "limited_by": dict(each.limits),
                    "unknown": dict(each.unknown),
                }
                for name, each in mechanisms.items()
            },
        )
    else:
        click.echo(f"\nLinux {os.uname().release}")
        for name, each in mechanisms.items():
            click.echo(f"{name}: {_told(each)}")
        click.echo("relay in user space: on")
        if kept:
            click.echo(f"kept until the next boot: {kept}", err=True)
    if mechanisms[SPLICE].failed:
        return UNUSABLE
    all_on = all(each.on for name, each in mechanisms.items() if name != VERDICT_ONLY)
    return ALL if all_on else SOME_OFF


def _explain(name: str) -> int:
    for probe in PROBES:
        if probe.name == name:
            click.echo(f"{probe.about}\n\nWhere it fails: {probe.hint}.")
            if probe.avoided:
                click.echo(f"No mechanism suffers from it: {probe.avoided}.")
            if probe.needed_by:
                click.echo(f"Off without it: {', '.join(probe.needed_by)}.")
            for mechanism, limit in probe.limits.items():
                click.echo(f"A limit of the {mechanism} without it: {limit}.")
            return 0
    raise UsageError(
        f"no probe {name}", hint=f"there are {', '.join(probe.name for probe in PROBES)}"
    )


def _told(proof: Proof) -> str:
    if proof.failed:
        return f"off: {', '.join(proof.failed)}"
    if not proof.known:
        return f"not known: {'; '.join(f'{n}: {found}' for n, found in proof.unknown.items())}"
    return f"on, with limits: {'; '.join(proof.limits.values())}" if proof.limits else "on"


def _show(finding: Finding, verbose: bool) -> None:
    probe = finding.probe
    click.echo(f"{_mark(finding):<4}  {probe.name:<{WIDTH}}  {finding.found}")
    if not finding.ok and (more := probe.avoided or finding.advice):
        click.echo(f"      {'':<{WIDTH}}  {more}")
    if verbose and finding.log:
        click.echo(finding.log, err=True)


def _mark(finding: Finding) -> str:
    if finding.ok:
        return "ok"
    if not finding.tried:
        return "--"
    if not finding.conclusive:
        return "?"
    return "off" if finding.probe.needed_by else "note" if finding.probe.avoided else "bug"

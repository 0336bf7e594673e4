"""`sockproxy doctor`: what this machine can do, probe by probe."""

from __future__ import annotations

import os

import click

from sockproxy.cli.output import show_json
from sockproxy.controller.doctor import PROBES, SPLICE, Finding, Verdict, examine, verdicts
from sockproxy.errors import UsageError

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
@click.option("-v", "--verbose", is_flag=True, help="Show the verifier's log of a refused program.")
def doctor(as_json: bool, explain: str | None, verbose: bool) -> int:
    """Try what sockproxy needs of this machine, and which known bugs its kernel has.

    Nothing is left behind. A mechanism is on, on with limits, or off.

    \b
    Exit status: 0 all is there; 1 some mechanism is off; 2 nothing can be
    accelerated, and the proxy relays in user space.
    """
    if explain is not None:
        return _explain(explain)
    findings = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            _show(finding, verbose)
    mechanisms = verdicts(findings)
    if as_json:
        checks = [
            {"name": each.probe.name, "ok": each.ok, "found": each.found,
             "hint": each.advice}
            for each in findings
        ]  # fmt: skip
        show_json("doctor", kernel=os.uname().release, checks=checks, mechanisms={
            name: {"on": each.on, "failed": each.failed, "limits": each.limits}
            for name, each in mechanisms.items()
        })  # fmt: skip
    else:
        click.echo(f"\nLinux {os.uname().release}")
        for name, each in mechanisms.items():
            click.echo(f"{name}: {_told(each)}")
        click.echo("relay in user space: on")
    if not mechanisms[SPLICE].on:
        return UNUSABLE
    return ALL if all(each.on for each in mechanisms.values()) else SOME_OFF


def _explain(name: str) -> int:
    for probe in PROBES:
        if probe.name == name:
            click.echo(f"{probe.about}\n\nWhere it fails: {probe.hint}.")
            if probe.needed_by:
                click.echo(f"Off without it: {', '.join(probe.needed_by)}.")
            for mechanism, limit in probe.limits.items():
                click.echo(f"A limit of the {mechanism} without it: {limit}.")
            return 0
    raise UsageError(
        f"no probe {name}", hint=f"there are {', '.join(probe.name for probe in PROBES)}"
    )


def _told(verdict: Verdict) -> str:
    if not verdict.on:
        return f"off: {', '.join(verdict.failed)}"
    return f"on, with limits: {'; '.join(verdict.limits)}" if verdict.limits else "on"


def _show(finding: Finding, verbose: bool) -> None:
    mark = "ok " if finding.ok else "off" if finding.probe.needed_by else "bug"
    click.echo(f"{mark}  {finding.probe.name:<{WIDTH}}  {finding.found}")
    if not finding.ok:
        click.echo(f"     {'':<{WIDTH}}  {finding.advice}")
        if verbose and finding.log:
            click.echo(finding.log, err=True)

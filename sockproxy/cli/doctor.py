"""`sockproxy doctor`: what this machine can do, check by check."""

from __future__ import annotations

import os

import click

from sockproxy.cli.output import show_json
from sockproxy.controller.doctor import CHECKS, SPLICE, Finding, examine, verdicts

__all__ = ["doctor"]

ALL, SOME_OFF, UNUSABLE = 0, 1, 2
WIDTH = max(len(check.name) for check in CHECKS)


@click.command(epilog="\b\nExamples:\n  sockproxy doctor\n  sockproxy doctor --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-v", "--verbose", is_flag=True, help="Show the verifier's log of a refused program.")
def doctor(as_json: bool, verbose: bool) -> int:
    """Try what sockproxy needs of this machine; nothing is left behind.

    \b
    Exit status: 0 all is there; 1 some mechanism is off; 2 nothing can be
    accelerated, and the proxy relays in user space.
    """
    findings = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            _show(finding, verbose)
    mechanisms = verdicts(findings)
    if as_json:
        checks = [
            {"name": each.check.name, "ok": each.ok, "found": each.found,
             "hint": each.advice}
            for each in findings
        ]  # fmt: skip
        show_json("doctor", kernel=os.uname().release, checks=checks, mechanisms={
            name: {"on": not failed, "failed": failed} for name, failed in mechanisms.items()
        })  # fmt: skip
    else:
        click.echo(f"\nLinux {os.uname().release}")
        for name, failed in mechanisms.items():
            click.echo(f"{name}: {'off: ' + ', '.join(failed) if failed else 'on'}")
        click.echo("relay in user space: on")
    if mechanisms[SPLICE]:
        return UNUSABLE
    return SOME_OFF if any(mechanisms.values()) else ALL


def _show(finding: Finding, verbose: bool) -> None:
    mark = "ok " if finding.ok else "off"
    click.echo(f"{mark}  {finding.check.name:<{WIDTH}}  {finding.found}")
    if not finding.ok:
        click.echo(f"     {'':<{WIDTH}}  {finding.advice}")
        if verbose and finding.log:
            click.echo(finding.log, err=True)

"""`sockproxy attach` and `sockproxy detach`: bypasses of a cgroup."""

from __future__ import annotations

from pathlib import Path

import click

from sockproxy.cli.output import show_json
from sockproxy.controller import bypass
from sockproxy.errors import Unsupported, UsageError
from sockproxy.net.rules import parse_rule

__all__ = ["attach", "detach"]

EPILOG = """\b
Examples:
  sockproxy attach mesh --cgroup /sys/fs/cgroup/mesh.slice --observe
  sockproxy attach web --unit nginx.service --observe --allow 80 --allow 443
  sockproxy attach mesh --cgroup /sys/fs/cgroup/mesh.slice --observe --deny 10.0.0.0/8

\b
A rule is a port, a range FIRST-LAST, or a network in CIDR, and matches either end. A
connection that a --deny matches is left alone; with any --allow, so is what none matches.
"""


@click.command(epilog=EPILOG)
@click.argument("name")
@click.option("--cgroup", type=click.Path(path_type=Path), help="The cgroup v2 directory.")
@click.option("--unit", help="The systemd unit or slice, instead of --cgroup.")
@click.option("--allow", multiple=True, metavar="PORTS|CIDR", help="May be repeated.")
@click.option("--deny", multiple=True, metavar="PORTS|CIDR", help="May be repeated.")
@click.option("--observe", is_flag=True, help="Pair and count, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def attach(
    name: str,
    cgroup: Path | None,
    unit: str | None,
    allow: tuple[str, ...],
    deny: tuple[str, ...],
    observe: bool,
    as_json: bool,
) -> int:
    """Watch the TCP connections of a cgroup that stay on this host.

    NAME that is attached already gets the rules given now, without a gap. Connections
    that were established before are not seen.
    """
    if (cgroup is None) == (unit is None):
        raise UsageError("attach needs --cgroup or --unit", hint="give one of them")
    rules = [parse_rule(each, deny=True) for each in deny]
    rules += [parse_rule(each, deny=False) for each in allow]
    if not observe:
        raise Unsupported(
            "attach without --observe", hint="this release pairs connections and counts them only"
        )
    where = cgroup.absolute() if cgroup is not None else bypass.unit_cgroup(unit or "")
    done = bypass.attach(name, where, rules)
    if as_json:
        show_json("attach", name=name, cgroup=str(where), result=done)
    else:
        click.echo(f"{name}: {done}, observing {where}")
    return 0


@click.command(epilog="\b\nExample:\n  sockproxy detach mesh")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def detach(name: str, as_json: bool) -> int:
    """Detach NAME and remove every trace of it. Twice is allowed."""
    done = "detached" if bypass.detach(name) else "was not attached"
    if as_json:
        show_json("detach", name=name, result=done)
    else:
        click.echo(f"{name}: {done}")
    return 0

"""`sockproxy attach` and `sockproxy detach`: bypasses of a cgroup."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from sockproxy.audit.note import note
from sockproxy.bpf.listing import Connection
from sockproxy.bypass.attach import attach as attach_bypass
from sockproxy.bypass.detach import detach as detach_bypass
from sockproxy.bypass.groups import unit_cgroup
from sockproxy.bypass.left_alone import program_called, running
from sockproxy.bypass.leftovers import collect
from sockproxy.bypass.options import BypassOptions
from sockproxy.cli.output import show_json, tell
from sockproxy.cli.types import DURATION, SIZE
from sockproxy.errors import UsageError
from sockproxy.net.address import format_address
from sockproxy.net.rules import parse_rule
from sockproxy.rundir.sight import remarks
from sockproxy.text import clean

__all__ = ["attach", "bypass_options", "detach", "read_options"]

NOT_DRAINED = 1
RULES = """\b
A rule is a port, a range FIRST-LAST, or a network in CIDR, and matches either end. A
connection that a --deny matches is left alone; with any --allow, so is what none matches.
A network of IPv6 matches no IPv4: all addresses are 0.0.0.0/0 and ::/0.
"""
EPILOG = f"""\b
Examples:
  sockproxy attach mesh --cgroup /sys/fs/cgroup/mesh.slice
  sockproxy attach web --unit nginx.service --allow 80 --allow 443
  sockproxy attach mesh --cgroup /sys/fs/cgroup/mesh.slice --deny 10.0.0.0/8 --observe
  sockproxy attach mesh --cgroup /sys/fs/cgroup/one.slice --cgroup /sys/fs/cgroup/two.slice

{RULES}"""


def bypass_options(command: Callable[..., int]) -> Callable[..., int]:
    """The options that attach and run share; `read_options` makes sense of them."""
    for option in (
        click.option("--observe", is_flag=True, help="Pair and count, and change nothing."),
        click.option(
            "--budget",
            type=SIZE,
            default="256KiB",
            show_default=True,
            help="Memory that may lie unread in one socket's bypass queue.",
        ),
        click.option(
            "--deny",
            multiple=True,
            metavar="PORTS|CIDR",
            help="Leave connections plain of which either end matches; may be repeated.",
        ),
        click.option(
            "--allow",
            multiple=True,
            metavar="PORTS|CIDR",
            help="Bypass only connections of which either end matches; may be repeated.",
        ),
        click.option(
            "--except",
            "programs",
            multiple=True,
            metavar="PROGRAM",
            help="Leave this program's connections plain: a name, of its process or its"
            " executable, or the executable's path; may be repeated.",
        ),
        click.option(
            "--blocking-readers",
            is_flag=True,
            help="Bypass sockets in blocking mode too, whose recv may answer EAGAIN"
            " when a signal or a reset comes.",
        ),
        click.option(
            "--any-reader",
            is_flag=True,
            help="Where FIONREAD is wrong: do not wait until a program is known to do without it.",
        ),
        click.option(
            "--edge-triggered",
            multiple=True,
            metavar="PROGRAM",
            help="This program reads until EAGAIN before it waits again, so that it may"
            " wait by EPOLLET; may be repeated.",
        ),
        click.option(
            "--same-cgroup",
            is_flag=True,
            help="Bypass only connections whose two ends belong to one cgroup: a sender waits"
            " for the lock of the other end's socket, which a throttled container may hold.",
        ),
        click.option(
            "--keep-pacing",
            is_flag=True,
            help="Leave BBR to streams within this host that begin with it. By default they get"
            " Reno, which is not held to a measured rate.",
        ),
        click.option(
            "--force", is_flag=True, help="Bypass even where 'sockproxy doctor' finds it off."
        ),
        click.option(
            "--max-connections",
            type=click.IntRange(1, 1 << 20),
            default=65536,
            show_default=True,
            help="Connections beyond this number stay plain TCP.",
        ),
    ):
        command = option(command)
    return command


def read_options(
    allow: tuple[str, ...],
    deny: tuple[str, ...],
    budget: int,
    observe: bool,
    max_connections: int,
    programs: tuple[str, ...],
    force: bool,
    edge_triggered: tuple[str, ...],
    same_cgroup: bool,
    blocking_readers: bool,
    any_reader: bool,
    keep_pacing: bool,
) -> BypassOptions:
    """The options of attach and run, as click has parsed them, checked and put together.

    Raises UsageError for a rule that is neither ports nor a network.
    """
    rules = [parse_rule(each, deny=True) for each in deny]
    rules += [parse_rule(each, deny=False) for each in allow]
    return BypassOptions(
        rules,
        observe,
        budget,
        max_connections,
        programs,
        force,
        edge_triggered,
        same_cgroup,
        blocking_readers=blocking_readers,
        any_reader=any_reader,
        keep_pacing=keep_pacing,
    )


@click.command(epilog=EPILOG)
@click.argument("name")
@click.option(
    "--cgroup",
    "cgroups",
    type=click.Path(path_type=Path),
    multiple=True,
    help="The cgroup v2 directory; may be repeated.",
)
@click.option("--unit", help="The systemd unit or slice, instead of --cgroup.")
@bypass_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def attach(
    name: str, cgroups: tuple[Path, ...], unit: str | None, as_json: bool, **given: object
) -> int:
    """Let same-host TCP connections of a cgroup, or of several, skip the TCP stack.

    NAME that is attached already gets the options given now, without a gap; only
    --max-connections stays. Connections that were established before are not seen.
    It also gets the cgroups given now, of which one must be among those that it has: those of
    one that is not named any more are left as they are, and new ones stay plain TCP.

    Where 'sockproxy doctor' finds the bypass off on this kernel, NAME only observes, and
    this says why; where not even that is to be had the exit status is 4. Where that could not
    be found out, as on a machine that is very busy, nothing is attached and the status is 1.
    """
    if bool(cgroups) == (unit is not None):
        raise UsageError("attach needs --cgroup or --unit", hint="give one of them")
    options = read_options(**given)  # type: ignore[arg-type]  # as click has parsed them
    first, *also = cgroups or (unit_cgroup(unit or ""),)
    collect()
    done = attach_bypass(name, first, options, tell, also=also)
    for line in remarks(name):
        tell(line)
    where = clean(", ".join(map(str, done.cgroups)))
    result, mode = done.words
    note(result, name, tell, mode=mode, cgroups=list(map(str, done.cgroups)))
    if as_json:
        show_json(
            "attach",
            name=name,
            cgroup=str(done.cgroups[0]),
            cgroups=list(map(str, done.cgroups)),
            result=result,
            mode=mode,
            why_not=done.why_not or None,
        )
    else:
        click.echo(f"{name}: {result}, {mode} {where}")
    for each in options.programs:
        _tell_matches(each)
    if done.why_not:
        click.echo(f"sockproxy: {done.why_not}; connections stay plain TCP", err=True)
    elif not as_json and done.left_alone:
        click.echo(
            f"sockproxy: left alone, as they could stall: {', '.join(done.left_alone)}"
            " (docs/compatibility.md); --except adds others",
            err=True,
        )
    return 0


def _tell_matches(given: str) -> None:
    """Say that a program is left alone, and how many processes run it now."""
    program = program_called(given)
    count = running(program)
    found = f"running: {count} process{'' if count == 1 else 'es'}"
    if not count:
        found = "none runs now; one that starts later is left alone too"
    click.echo(f"sockproxy: left alone: {clean(program.asked)} ({found})", err=True)


DETACH_EPILOG = """\b
Examples:
  sockproxy detach mesh
  sockproxy detach mesh --timeout 60s
"""


@click.command(epilog=DETACH_EPILOG)
@click.argument("name")
@click.option(
    "--timeout",
    type=DURATION,
    default="10s",
    show_default=True,
    help="How long to wait until readers have read what was bypassed to them.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def detach(name: str, timeout: float, as_json: bool) -> int:
    """Detach NAME and remove every trace of it, without losing a byte. Twice is allowed.

    Connections go on by TCP. Where a reader does not read what was bypassed to it in time,
    its socket stays until the next detach, and the exit status is 1.
    """
    collect()
    done = detach_bypass(name, timeout, tell)
    for line in remarks():
        tell(line)
    left = [_describe(each) for each in done.left]
    result = "detached" if done.was_attached else "was not attached"
    if not done.drained:
        result = "draining"
    if done.was_attached:
        note(result, name, tell)
    if as_json:
        show_json("detach", name=name, result=result, left=left, unseen=done.unseen)
    else:
        click.echo(f"{name}: {result}")
        for each in left:
            click.echo(
                f"{each['local']} <- {each['remote']}: {each['unread']} bytes unread", err=True
            )
        if done.unseen:
            click.echo(
                f"{done.unseen} sockets stay until they close: this kernel lets nobody see"
                " whether something is unread",
                err=True,
            )
        if not done.drained:
            click.echo(f"sockproxy: run 'sockproxy detach {name}' again later", err=True)
    return 0 if done.drained else NOT_DRAINED


def _describe(end: Connection) -> dict[str, object]:
    return {
        "cookie": end.cookie,
        "local": format_address(end.local),
        "remote": format_address(end.remote),
        "unread": end.unread,
    }

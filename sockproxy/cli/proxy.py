"""`sockproxy proxy`: run an accelerated proxy in the foreground."""

from __future__ import annotations

import logging
import os
import signal
from functools import partial
from pathlib import Path
from types import FrameType

import click
from click.core import ParameterSource

from sockproxy.cli.logs import Log, logging_to_stderr
from sockproxy.cli.types import DURATION, LISTEN, MARK, MODE, NETWORK, RATE, SIZE
from sockproxy.errors import UsageError
from sockproxy.net.address import Address
from sockproxy.net.networks import Network
from sockproxy.net.systemd import Passed, notify, watchdog_seconds
from sockproxy.proxy.config import Configuration, read_configuration
from sockproxy.proxy.control import Control
from sockproxy.proxy.options import (
    BALANCES,
    BUDGETS,
    LOG_FORMATS,
    LOG_LEVELS,
    MOST_CONNECTIONS,
    MOST_KEEPALIVE,
    MOST_WORKERS,
    PROXY_VERSIONS,
    ProxyOptions,
    ServiceOptions,
    check_original,
    clash,
    usual_workers,
)
from sockproxy.proxy.pool import ORIGINAL, SHORTEST, Health, parse_upstreams
from sockproxy.proxy.proxy import Proxy
from sockproxy.proxy.reload import Reloader
from sockproxy.proxy.takeover import retire, take_sockets
from sockproxy.rundir import take_name
from sockproxy.units import Rate
from sockproxy.worker.rules import Rules

__all__ = ["proxy"]

LOG = logging.getLogger("sockproxy.proxy")

BESIDE_A_FILE = {"config", "take_over", "verbose", "log_level", "log_format"}
EPILOG = """\b
Examples:
  sockproxy proxy --listen 127.0.0.1:8080 --upstream 127.0.0.1:9000
  sockproxy proxy --listen [::]:80 --upstream 10.0.0.2:80 --upstream 10.0.0.3:80 -v
  sockproxy proxy --listen 127.0.0.1:15001 --upstream original-dst --mark 80
  sockproxy proxy --listen unix:/run/app.sock --upstream 10.0.0.2:80
  sockproxy proxy --config /etc/sockproxy/edge.toml

\b
With original-dst, redirect to the proxy first, but not what has its own mark:
  iptables -t nat -A OUTPUT -p tcp -m mark --mark 80 -j RETURN
  iptables -t nat -A OUTPUT -p tcp --dport 80 -j REDIRECT --to-ports 15001
or
  nft add table ip sidecar
  nft 'add chain ip sidecar out { type nat hook output priority -100; }'
  nft add rule ip sidecar out meta mark 80 return
  nft add rule ip sidecar out tcp dport 80 redirect to :15001
"""


@click.command(epilog=EPILOG)
@click.option(
    "--listen",
    type=LISTEN,
    multiple=True,
    metavar="ADDR:PORT|unix:PATH|systemd[:NAME]",
    help="Accept here; may be repeated. Port 0 takes a free one; systemd: those of a .socket unit.",
)
@click.option(
    "--upstream",
    multiple=True,
    metavar="ADDR:PORT|unix:PATH[,weight=N][,max-connections=N]|original-dst",
    help="Connect there; several, and all addresses of a name, are taken in turn, by their weights"
    " (1; 0 for no new clients).",
)
@click.option(
    "--health-check",
    type=DURATION,
    metavar="INTERVAL",
    help="Connect to each upstream so often, to find out if it is up; a --config can say more.",
)
@click.option(
    "--balance",
    type=click.Choice(tuple(BALANCES)),
    default="round-robin",
    show_default=True,
    help="Whose turn it is, of several upstreams; source: the same for all clients of a host.",
)
@click.option(
    "--send-proxy",
    type=click.Choice(tuple(PROXY_VERSIONS)),
    help="Tell upstreams first who the client is, by the PROXY protocol.",
)
@click.option(
    "--accept-proxy",
    type=NETWORK,
    multiple=True,
    metavar="NETWORK",
    help="Clients from there say first who the client is, by the PROXY protocol; may be repeated.",
)
@click.option(
    "--allow",
    type=NETWORK,
    multiple=True,
    metavar="NETWORK",
    help="Only these may be clients; may be repeated.",
)
@click.option(
    "--deny",
    type=NETWORK,
    multiple=True,
    metavar="NETWORK",
    help="These may not, also where they are allowed; may be repeated.",
)
@click.option(
    "--max-per-client",
    type=click.IntRange(1, MOST_CONNECTIONS),
    metavar="N",
    help="Connections of one client host at once.",
)
@click.option(
    "--rate-per-client",
    type=RATE,
    metavar="N/TIME",
    help="Connections that one client host may open in a time, such as 100/s or 30/10m.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read all of this from a TOML file, which may have many services; see 'check --help'.",
)
@click.option(
    "--take-over",
    is_flag=True,
    help="Have the sockets, and the name, of the proxy that has it now, which then drains.",
)
@click.option("--name", help="Name in status and connections.  [default: proxy-PID]")
@click.option(
    "--budget",
    type=SIZE,
    default="1MiB",
    show_default=True,
    help="Bytes per direction that may wait between the two sockets.",
)
@click.option(
    "--max-connections",
    type=click.IntRange(1, MOST_CONNECTIONS),
    default=4096,
    show_default=True,
    help="Clients beyond it wait to be accepted.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, MOST_WORKERS),
    metavar="N",
    help="Threads that serve clients.  [default: half as many as CPUs that may be used]",
)
@click.option(
    "--connect-timeout",
    type=DURATION,
    default="10s",
    show_default=True,
    help="Time that each upstream tried has to answer.",
)
@click.option("--idle-timeout", type=DURATION, help="Reset a connection without traffic.")
@click.option("--lifetime", type=DURATION, help="Reset a connection when it is so old.")
@click.option(
    "--hello-timeout",
    type=DURATION,
    default="5s",
    show_default=True,
    help="Time that a client has for what is to be heard first, such as a PROXY header.",
)
@click.option(
    "--grace",
    type=DURATION,
    default="10s",
    show_default=True,
    help="On SIGTERM, time for connections to finish.",
)
@click.option(
    "--nodelay/--no-nodelay", default=True, show_default=True, help="TCP_NODELAY on both sides."
)
@click.option(
    "--mark",
    type=MARK,
    metavar="N",
    help="SO_MARK of connections to upstreams, for rules to exclude.",
)
@click.option(
    "--keepalive",
    type=click.IntRange(1, MOST_KEEPALIVE),
    metavar="SECONDS",
    help="Probe silent peers on both sides.",
)
@click.option(
    "--unix-mode",
    type=MODE,
    metavar="MODE",
    help="Of the files of Unix sockets, such as 660.  [default: by the umask]",
)
@click.option("--relay", is_flag=True, help="Keep everything in user space, with splice(2).")
@click.option(
    "--eager", is_flag=True, help="For measurements: redirect from the first byte, streams too."
)
@click.option(
    "--short-circuit/--no-short-circuit",
    default=True,
    show_default=True,
    help="Let conversations go past the proxy where a bypass has both far ends.",
)
@click.option(
    "--verdict-only",
    is_flag=True,
    help="For measurements, with --force: no parser, not exact or bounded.",
)
@click.option(
    "--force", is_flag=True, help="Accelerate even where 'sockproxy doctor' finds it off."
)
@click.option(
    "--log-level",
    type=click.Choice(LOG_LEVELS),
    default="info",
    show_default=True,
    help="What is told; debug has a line for each connection.",
)
@click.option("-v", "--verbose", is_flag=True, help="The same as --log-level debug.")
@click.option(
    "--log-format",
    type=click.Choice(LOG_FORMATS),
    default="auto",
    show_default=True,
    help="Lines of text, JSON, or what the journal reads; auto finds out if that reads them.",
)
@click.pass_context
def proxy(
    ctx: click.Context,
    listen: tuple[Address | Passed, ...],
    upstream: tuple[str, ...],
    balance: str,
    send_proxy: str | None,
    health_check: float | None,
    accept_proxy: tuple[Network, ...],
    allow: tuple[Network, ...],
    deny: tuple[Network, ...],
    max_per_client: int | None,
    rate_per_client: Rate | None,
    config: Path | None,
    take_over: bool,
    name: str | None,
    budget: int,
    max_connections: int,
    workers: int | None,
    connect_timeout: float,
    idle_timeout: float | None,
    lifetime: float | None,
    hello_timeout: float,
    grace: float,
    nodelay: bool,
    mark: int | None,
    keepalive: int | None,
    unix_mode: str | None,
    relay: bool,
    eager: bool,
    short_circuit: bool,
    verdict_only: bool,
    force: bool,
    log_level: str,
    verbose: bool,
    log_format: str,
) -> int:
    """Run a TCP proxy whose bytes stay in the kernel.

    SIGTERM or Ctrl-C stops accepting and lets connections finish within --grace; a
    second one ends them now. The exit status is 0 then; 128 and the signal's number for one
    that comes before anything was done. SIGHUP has a --config read again.

    What cannot be accelerated is relayed with splice(2), and 'sockproxy connections' says
    why; so is all, on a kernel where 'sockproxy doctor' finds the splice off. Where nobody has
    found out since the boot it relays until that is done, in the background, and then
    accelerates the connections that come.

    Where the client and the upstream are both in a bypass ('sockproxy attach') the messages of a
    conversation go from one to the other, past the proxy, which still counts, limits and ends it.
    """
    if config is not None:
        _check_alone(ctx)

        def chosen(found: Configuration) -> tuple[str, str]:
            level = log_level if _is_given(ctx, "log_level") else found.log_level
            form = log_format if _is_given(ctx, "log_format") else found.log_format
            return form, "debug" if verbose else level

        found = read_configuration(config)
        with logging_to_stderr(*chosen(found)) as log:
            served = Proxy(found.options)
            read = partial(read_configuration, config)
            served.reloader = Reloader(served, read, lambda found: log.change(*chosen(found)))
            _run(served, log, take_over)
        return 0
    if take_over and name is None:
        raise UsageError("--take-over without --name", hint="say whose sockets it takes")
    if not listen or not upstream:
        raise UsageError("--listen and --upstream, or --config", hint="say where, and to whom")
    if not BUDGETS[0] <= budget <= BUDGETS[1]:
        raise UsageError("--budget", hint="choose from 4KiB to 1GiB")
    if health_check is not None and (health_check < SHORTEST or ORIGINAL in upstream):
        hint = f"write a time from {SHORTEST * 1000:g}ms on, for upstreams that have addresses"
        raise UsageError("--health-check", hint=hint)
    if found_clash := clash(relay, eager, force, verdict_only):
        key, why = found_clash
        raise UsageError(f"--{key} {why.replace('without force', 'without --force')}")
    upstreams = parse_upstreams(upstream)
    check_original(listen, upstreams)
    service = ServiceOptions(
        listen,
        upstreams,
        connect_timeout=connect_timeout,
        mark=mark,
        nodelay=nodelay,
        keepalive=keepalive,
        balance=balance,
        send_proxy=PROXY_VERSIONS[send_proxy] if send_proxy else 0,
        health=Health(health_check) if health_check is not None else None,
        rules=Rules(
            allow=allow,
            deny=deny,
            accept_proxy=accept_proxy,
            max_per_client=max_per_client,
            rate_per_client=rate_per_client,
            hello_timeout=hello_timeout,
            lifetime=lifetime,
        ),
        unix_mode=unix_mode or "",
    )
    options = ProxyOptions(
        services=(service,),
        name=f"proxy-{os.getpid()}" if name is None else name,
        idle_timeout=idle_timeout,
        max_connections=max_connections,
        budget=budget,
        relay=relay,
        eager=eager,
        parser=not verdict_only,
        force=force,
        grace=grace,
        short_circuit=short_circuit,
        workers=usual_workers() if workers is None else workers,
    )
    with logging_to_stderr(log_format, "debug" if verbose else log_level) as log:
        _run(Proxy(options), log, take_over)
    return 0


def _is_given(ctx: click.Context, option: str) -> bool:
    return ctx.get_parameter_source(option) is ParameterSource.COMMANDLINE


def _check_alone(ctx: click.Context) -> None:
    """What a file says, no option says as well."""
    others = [each for each in ctx.params if each not in BESIDE_A_FILE and _is_given(ctx, each)]
    if others:
        option = "--" + others[0].replace("_", "-")
        raise UsageError(f"--config and {option}", hint="write it into the file")


def _run(served: Proxy, log: Log, take_over: bool) -> None:
    def on_hangup(_number: int, _frame: FrameType | None) -> None:
        if served.reloader is None:
            log.write(logging.INFO, "SIGHUP does nothing: it was not started with --config")
        elif not served.reloader.begin():
            log.write(logging.WARNING, "not reloaded: there may be no more threads now")

    def on_stop(_number: int, _frame: FrameType | None) -> None:
        notify("STOPPING=1")
        served.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_stop)
    signal.signal(signal.SIGHUP, on_hangup)
    name = served.options.name
    control = Control(served)
    try:
        if take_over:
            served.open(taken=take_sockets(name))
            if served.is_stopped:
                return  # the old one stays
            control.hold(retire(name))
            served.accept_anew()
            control.open()
        else:
            control.hold(take_name(name))
            served.open(control.open)  # who can connect to it can ask it as well
        path = _path(served)
        for address in served.listening:
            LOG.info(f"{served.options.name}: listening on {address}, {path}")
        notify("READY=1", f"STATUS={path}")
        if seconds := watchdog_seconds():
            served.watch_over(seconds, lambda: notify("WATCHDOG=1", f"STATUS={_path(served)}"))
        served.run()
    finally:
        control.close()
        served.close()


def _path(served: Proxy) -> str:
    """What becomes of the connections that come now, for people."""
    if served.worker.kernel is not None:
        return "accelerated"
    return "relaying in user space" + (
        f" for now: {served.worker.why_not}" if served.may_accelerate else ""
    )

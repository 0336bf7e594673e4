"""The options of `sockproxy proxy`, and what is made of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click

from sockproxy.cli.types import DURATION, LISTEN, MARK, MODE, NETWORK, RATE, SIZE
from sockproxy.errors import UsageError
from sockproxy.net.address import Address
from sockproxy.net.networks import Network
from sockproxy.net.systemd import Passed
from sockproxy.proxy.options import (
    BALANCES,
    BUDGETS,
    MOST_KEEPALIVE,
    MOST_WORKERS,
    PROXY_VERSIONS,
    ProxyOptions,
    ServiceOptions,
    check_original,
    check_unix_mode,
    clash,
    usual_workers,
)
from sockproxy.proxy.pool import MOST_CONNECTIONS, ORIGINAL, SHORTEST, Health, parse_upstreams
from sockproxy.units import Rate
from sockproxy.worker.rules import Rules

__all__ = ["proxy_options", "read_options"]

_OPTIONS = (
    click.option(
        "--listen",
        type=LISTEN,
        multiple=True,
        metavar="ADDR:PORT|unix:PATH|systemd[:NAME]",
        help="Accept here; may be repeated. Port 0 takes a free one; systemd: those of a .socket"
        " unit.",
    ),
    click.option(
        "--upstream",
        multiple=True,
        metavar="ADDR:PORT|unix:PATH[,weight=N][,max-connections=N]|original-dst",
        help="Connect there; several, and all addresses of a name, are taken in turn, by their"
        " weights (1; 0 for no new clients).",
    ),
    click.option(
        "--health-check",
        type=DURATION,
        metavar="INTERVAL",
        help="Connect to each upstream so often, to find out if it is up; a --config can say more.",
    ),
    click.option(
        "--balance",
        type=click.Choice(tuple(BALANCES)),
        default="round-robin",
        show_default=True,
        help="Whose turn it is, of several upstreams; source: the same for all clients of a host.",
    ),
    click.option(
        "--send-proxy",
        type=click.Choice(tuple(PROXY_VERSIONS)),
        help="Tell upstreams first who the client is, by the PROXY protocol.",
    ),
    click.option(
        "--accept-proxy",
        type=NETWORK,
        multiple=True,
        metavar="NETWORK",
        help="Clients from there say first who the client is, by the PROXY protocol; may be"
        " repeated.",
    ),
    click.option(
        "--allow",
        type=NETWORK,
        multiple=True,
        metavar="NETWORK",
        help="Only these may be clients; may be repeated.",
    ),
    click.option(
        "--deny",
        type=NETWORK,
        multiple=True,
        metavar="NETWORK",
        help="These may not, also where they are allowed; may be repeated.",
    ),
    click.option(
        "--max-per-client",
        type=click.IntRange(1, MOST_CONNECTIONS),
        metavar="N",
        help="Connections of one client host at once.",
    ),
    click.option(
        "--rate-per-client",
        type=RATE,
        metavar="N/TIME",
        help="Connections that one client host may open in a time, such as 100/s or 30/10m.",
    ),
    click.option("--name", help="Name in status and connections.  [default: proxy-PID]"),
    click.option(
        "--budget",
        type=SIZE,
        default="1MiB",
        show_default=True,
        help="Bytes per direction that may wait between the two sockets.",
    ),
    click.option(
        "--max-connections",
        type=click.IntRange(1, MOST_CONNECTIONS),
        default=4096,
        show_default=True,
        help="Clients beyond it wait to be accepted.",
    ),
    click.option(
        "--workers",
        type=click.IntRange(1, MOST_WORKERS),
        metavar="N",
        help="Threads that serve clients.  [default: half as many as CPUs that may be used]",
    ),
    click.option(
        "--connect-timeout",
        type=DURATION,
        default="10s",
        show_default=True,
        help="Time that each upstream tried has to answer.",
    ),
    click.option("--idle-timeout", type=DURATION, help="Reset a connection without traffic."),
    click.option("--lifetime", type=DURATION, help="Reset a connection when it is so old."),
    click.option(
        "--hello-timeout",
        type=DURATION,
        default="5s",
        show_default=True,
        help="Time that a client has for what is to be heard first, such as a PROXY header.",
    ),
    click.option(
        "--grace",
        type=DURATION,
        default="10s",
        show_default=True,
        help="On SIGTERM, time for connections to finish.",
    ),
    click.option(
        "--nodelay/--no-nodelay", default=True, show_default=True, help="TCP_NODELAY on both sides."
    ),
    click.option(
        "--mark",
        type=MARK,
        metavar="N",
        help="SO_MARK of connections to upstreams, for rules to exclude.",
    ),
    click.option(
        "--keepalive",
        type=click.IntRange(1, MOST_KEEPALIVE),
        metavar="SECONDS",
        help="Probe silent peers on both sides.",
    ),
    click.option(
        "--unix-mode",
        type=MODE,
        metavar="MODE",
        help="Of the files of Unix sockets, such as 660.  [default: by the umask]",
    ),
    click.option("--relay", is_flag=True, help="Keep everything in user space, with splice(2)."),
    click.option(
        "--eager", is_flag=True, help="For measurements: redirect from the first byte, streams too."
    ),
    click.option(
        "--short-circuit/--no-short-circuit",
        default=True,
        show_default=True,
        help="Let conversations go past the proxy where a bypass has both far ends.",
    ),
    click.option(
        "--verdict-only",
        is_flag=True,
        help="For measurements, with --force: no parser, not exact or bounded.",
    ),
    click.option(
        "--force", is_flag=True, help="Accelerate even where 'sockproxy doctor' finds it off."
    ),
)


def proxy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator: the command has these options, which read_options() takes."""
    for each in reversed(_OPTIONS):
        command = each(command)
    return command


def read_options(
    *,
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
) -> ProxyOptions:
    """What a proxy is to do, as the command line says. Raises UsageError."""
    if not listen or not upstream:
        raise UsageError("--listen and --upstream, or --config", hint="say where, and to whom")
    if not BUDGETS[0] <= budget <= BUDGETS[1]:
        raise UsageError("--budget", hint="choose from 4KiB to 1GiB")
    if health_check is not None and (health_check < SHORTEST or ORIGINAL in upstream):
        hint = f"write a time from {SHORTEST * 1000:g}ms on, for upstreams that have addresses"
        raise UsageError("--health-check", hint=hint)
    if found_clash := clash(relay, eager, force, verdict_only, force_is="--force"):
        raise UsageError(f"--{found_clash[0]} {found_clash[1]}")
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
        unix_mode=check_unix_mode(listen, unix_mode or ""),
    )
    return ProxyOptions(
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

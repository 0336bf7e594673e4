"""Configuration files: TOML that says what the command line of `proxy` says, and more services.

name = "edge"            in status and connections; the file's name without .toml
workers = 2              and max-connections, budget, idle-timeout, grace, relay, eager,
budget = "1MiB"          short-circuit, verdict-only, force: as the options of these names
log-level = "info"       and log-format

[[service]]              may be repeated
name = "web"             in connections and logs
listen = ["127.0.0.1:8080", "systemd:web"]
upstream = "app"         a group, or ["10.0.0.2:9000", "app.example:9000"], or "original-dst"
connect-timeout = "10s"  and balance, send-proxy, mark, nodelay, keepalive, allow, deny,
                         accept-proxy, max-per-client, rate-per-client, hello-timeout,
                         idle-timeout, lifetime, unix-mode: as these options

[[service.route]]        may be repeated; a service with routes may be without an upstream
name = ["app.example", "*.app.example"]   that a client asks for by TLS
upstream = "app"

[[group]]                upstreams that services share, may be repeated
name = "app"
upstream = ["10.0.0.2:9000", "10.0.0.3:9000"]    more of them: config_pool.py
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sockproxy.net.address import Address
from sockproxy.net.networks import Network, parse_network
from sockproxy.net.systemd import Passed, parse_listen
from sockproxy.net.unix import is_unix, parse_mode
from sockproxy.proxy.config_pool import POOL, read_groups, read_pool
from sockproxy.proxy.options import (
    BALANCES,
    BUDGETS,
    LOG_FORMATS,
    LOG_LEVELS,
    MOST_KEEPALIVE,
    MOST_MARK,
    MOST_ROUTES,
    MOST_WORKERS,
    PROXY_VERSIONS,
    ProxyOptions,
    Route,
    ServiceOptions,
    check_original,
    check_unix_mode,
    clash,
    usual_workers,
)
from sockproxy.proxy.pool import MOST_CONNECTIONS, Pool
from sockproxy.rundir import check_name
from sockproxy.tables import Table, read_table
from sockproxy.units import parse_rate
from sockproxy.worker.rules import NO_RULES, Rules

__all__ = ["Configuration", "read_configuration"]

_FILE = {
    "name", "workers", "max-connections", "budget", "idle-timeout", "grace", "relay", "eager",
    "short-circuit", "verdict-only", "force", "log-level", "log-format", "service", "group",
}  # fmt: skip
_SERVICE = {
    "name", "listen", "connect-timeout", "mark", "nodelay", "keepalive", "balance", "send-proxy",
    "route", "allow", "deny", "accept-proxy", "max-per-client", "rate-per-client",
    "hello-timeout", "idle-timeout", "lifetime", "unix-mode", *POOL,
}  # fmt: skip
_ROUTE = {"name", *POOL}
_NAME = re.compile(r"(\*\.)?[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a file says. log_level and log_format: one of LOG_LEVELS, of LOG_FORMATS."""

    options: ProxyOptions
    log_level: str
    log_format: str


def read_configuration(path: Path) -> Configuration:
    """Of a file, with its names resolved.

    Raises UsageError of one line, with file, line, table and key, where anything is wrong.
    """
    table = read_table(path, _FILE)
    groups = read_groups(table)
    services = tuple(_service(each, groups) for each in table.tables("service", _SERVICE))
    _check_apart(table, services)
    flags = {key: table.flag(key) for key in ("relay", "eager", "force", "verdict-only")}
    if found := clash(flags["relay"], flags["eager"], flags["force"], flags["verdict-only"]):
        raise table.wrong(*found)
    options = ProxyOptions(
        services=services,
        name=_name(table, path.name.removesuffix(".toml")),
        workers=table.number("workers", usual_workers(), 1, MOST_WORKERS),
        idle_timeout=table.if_there("idle-timeout", table.duration),
        max_connections=table.number("max-connections", 4096, 1, MOST_CONNECTIONS),
        budget=table.size("budget", "1MiB", *BUDGETS),
        relay=flags["relay"],
        eager=flags["eager"],
        parser=not flags["verdict-only"],
        force=flags["force"],
        grace=table.duration("grace", 10.0),
        short_circuit=table.flag("short-circuit", True),
    )
    level = table.word("log-level", LOG_LEVELS, "info")
    return Configuration(options, level, table.word("log-format", LOG_FORMATS, "auto"))


def _name(table: Table, default: str) -> str:
    return table.parsed("name", check_name, table.text("name", default))


def _service(table: Table, groups: Mapping[str, Pool]) -> ServiceOptions:
    listen = [table.parsed("listen", parse_listen, each) for each in table.words("listen")]
    pool_of = partial(_pool, groups=groups, listen=listen)
    routes = _routes(table, pool_of) if table.has("route") else ()
    only_routes = bool(routes) and not table.has("upstream")
    pool = Pool(()) if only_routes else pool_of(table)
    version = table.if_there("send-proxy", lambda key: table.word(key, tuple(PROXY_VERSIONS)))
    return ServiceOptions(
        tuple(listen),
        pool.upstreams,
        name=table.text("name", ""),
        connect_timeout=table.duration("connect-timeout", 10.0),
        mark=table.if_there("mark", lambda key: table.number(key, None, 1, MOST_MARK)),
        nodelay=table.flag("nodelay", True),
        keepalive=table.if_there(
            "keepalive", lambda key: table.number(key, None, 1, MOST_KEEPALIVE)
        ),
        balance=table.word("balance", tuple(BALANCES), "round-robin"),
        send_proxy=PROXY_VERSIONS[version] if version else 0,
        health=pool.health,
        slow_start=pool.slow_start,
        routes=routes,
        rules=_rules(table, only_routes=only_routes),
        unix_mode=table.if_there("unix-mode", partial(_mode, table, listen)) or "",
    )


def _rules(table: Table, *, only_routes: bool) -> Rules:
    def networks(key: str) -> tuple[Network, ...]:
        words = table.words(key) if table.has(key) else []
        return tuple(table.parsed(key, parse_network, each) for each in words)

    return Rules(
        allow=networks("allow"),
        deny=networks("deny"),
        accept_proxy=networks("accept-proxy"),
        max_per_client=table.if_there(
            "max-per-client", lambda key: table.number(key, None, 1, MOST_CONNECTIONS)
        ),
        rate_per_client=table.if_there(
            "rate-per-client", lambda key: table.parsed(key, parse_rate, table.text(key))
        ),
        hello_timeout=table.duration("hello-timeout", NO_RULES.hello_timeout),
        idle_timeout=table.if_there("idle-timeout", table.duration),
        lifetime=table.if_there("lifetime", table.duration),
        only_routes=only_routes,
    )


def _routes(table: Table, pool_of: Callable[[Table], Pool]) -> tuple[Route, ...]:
    routes, seen = [], set[str]()
    for each in table.tables("route", _ROUTE):
        names = []
        for written in each.words("name"):
            name = written.lower().removesuffix(".")
            if not _NAME.fullmatch(name):
                raise each.wrong("name", f"{written!r} is no name such as app.example or *.example")
            if name in seen:
                raise each.wrong("name", f"there is another route for {written}")
            seen.add(name)
            names.append(name)
        routes.append(Route(tuple(names), pool_of(each)))
    if len(seen) > MOST_ROUTES:
        raise table.wrong("route", f"{len(seen)} names; there may be {MOST_ROUTES}")
    return tuple(routes)


def _pool(table: Table, groups: Mapping[str, Pool], listen: list[Address | Passed]) -> Pool:
    """listen: where the clients come from."""
    pool = read_pool(table, groups)
    table.parsed("upstream", partial(check_original, listen), pool.upstreams)
    return pool


def _mode(table: Table, listen: list[Address | Passed], key: str) -> str:
    mode = table.parsed(key, parse_mode, table.text(key))
    return table.parsed(key, partial(check_unix_mode, listen), mode)


def _check_apart(table: Table, services: tuple[ServiceOptions, ...]) -> None:
    """Each name, and each place, is one service's. Port 0 is another one each time."""
    names = [each.name for each in services if each.name]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise table.wrong("service", f"there is another service {twice}")
    seen: dict[str, int] = {}
    for number, service in enumerate(services, 1):
        for where in map(str, service.listen):
            if where in seen and (is_unix(where) or not where.endswith(":0")):
                raise table.wrong("service", f"{number} listens on {where} as {seen[where]} does")
            seen[where] = number

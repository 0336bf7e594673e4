"""Configuration files: TOML that says what the command line of `proxy` says, and more services.

name = "edge"            in status and connections; the file's name without .toml
workers = 2              and max-connections, budget, idle-timeout, grace, relay, eager,
budget = "1MiB"          short-circuit, verdict-only, force: as the options of these names
log-level = "info"       and log-format

[[service]]              may be repeated
name = "web"             in connections and logs
listen = ["127.0.0.1:8080", "systemd:web"]
upstream = "app"         a group, or ["10.0.0.2:9000", "app.example:9000"], or "original-dst"
connect-timeout = "10s"  and balance, send-proxy, mark, nodelay, keepalive, unix-mode: as these
                         options

[[group]]                upstreams that services share, may be repeated
name = "app"
upstream = ["10.0.0.2:9000", "10.0.0.3:9000"]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sockproxy.errors import UsageError
from sockproxy.net.address import Host
from sockproxy.net.systemd import parse_listen
from sockproxy.net.unix import is_unix, parse_mode
from sockproxy.proxy.options import (
    BALANCES,
    BUDGETS,
    LOG_FORMATS,
    LOG_LEVELS,
    MOST_CONNECTIONS,
    MOST_KEEPALIVE,
    MOST_MARK,
    MOST_WORKERS,
    ORIGINAL,
    PROXY_VERSIONS,
    ProxyOptions,
    ServiceOptions,
    check_original,
    clash,
    parse_upstreams,
    usual_workers,
)
from sockproxy.rundir import check_name
from sockproxy.tables import Table, read_table

__all__ = ["Configuration", "read_configuration"]

_FILE = {
    "name", "workers", "max-connections", "budget", "idle-timeout", "grace", "relay", "eager",
    "short-circuit", "verdict-only", "force", "log-level", "log-format", "service", "group",
}  # fmt: skip
_SERVICE = {
    "name", "listen", "upstream", "connect-timeout", "mark", "nodelay", "keepalive", "balance",
    "send-proxy", "unix-mode",
}  # fmt: skip
T = TypeVar("T")
_GROUP = {"name", "upstream"}


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
    groups = _groups(table)
    services = tuple(_service(each, groups) for each in table.tables("service", _SERVICE))
    _check_apart(table, services)
    flags = {key: table.flag(key) for key in ("relay", "eager", "force", "verdict-only")}
    if found := clash(flags["relay"], flags["eager"], flags["force"], flags["verdict-only"]):
        raise table.wrong(*found)
    options = ProxyOptions(
        services=services,
        name=_name(table, path.name.removesuffix(".toml")),
        workers=table.number("workers", usual_workers(), 1, MOST_WORKERS),
        idle_timeout=_if_there(table, "idle-timeout", table.duration),
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
    name = table.text("name", default)
    return str(_checked(table, "name", check_name, name))


def _groups(table: Table) -> dict[str, tuple[Host, ...]]:
    groups: dict[str, tuple[Host, ...]] = {}
    if not table.has("group"):
        return groups
    for each in table.tables("group", _GROUP):
        name = each.text("name")
        if ":" in name or not name:
            raise each.wrong("name", "must be a text without a colon, which addresses have")
        if name in groups:
            raise each.wrong("name", f"there is another group {name}")
        groups[name] = _checked(each, "upstream", parse_upstreams, each.words("upstream"))
    return groups


def _service(table: Table, groups: Mapping[str, tuple[Host, ...]]) -> ServiceOptions:
    listen = [_checked(table, "listen", parse_listen, each) for each in table.words("listen")]
    words = table.words("upstream")
    if len(words) == 1 and words[0] in groups:
        upstreams = groups[words[0]]
    elif any(word in groups for word in words):
        raise table.wrong("upstream", "a group stands alone")
    elif unknown := [word for word in words if ":" not in word and word != ORIGINAL]:
        raise table.wrong("upstream", f"no group is called {unknown[0]}; write others as ADDR:PORT")
    else:
        upstreams = _checked(table, "upstream", parse_upstreams, words)
    _checked(table, "upstream", partial(check_original, listen), upstreams)
    version = _if_there(table, "send-proxy", lambda key: table.word(key, tuple(PROXY_VERSIONS)))
    return ServiceOptions(
        tuple(listen),
        upstreams,
        name=table.text("name", ""),
        connect_timeout=table.duration("connect-timeout", 10.0),
        mark=_if_there(table, "mark", lambda key: table.number(key, None, 1, MOST_MARK)),
        nodelay=table.flag("nodelay", True),
        keepalive=_if_there(
            table, "keepalive", lambda key: table.number(key, None, 1, MOST_KEEPALIVE)
        ),
        balance=table.word("balance", tuple(BALANCES), "round-robin"),
        send_proxy=PROXY_VERSIONS[version] if version else 0,
        unix_mode=_if_there(table, "unix-mode", lambda key: _mode(table, key)) or "",
    )


def _mode(table: Table, key: str) -> str:
    return str(_checked(table, key, parse_mode, table.text(key)))


def _if_there(table: Table, key: str, take: Callable[[str], T]) -> T | None:
    """What `take` makes of the entry; None where there is none."""
    return take(key) if table.has(key) else None


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


def _checked(table: Table, key: str, parse: Callable[[Any], Any], value: Any) -> Any:
    """What `parse` makes of it, its errors with their place in the file."""
    try:
        return parse(value)
    except UsageError as error:
        raise table.wrong(key, str(error)) from None

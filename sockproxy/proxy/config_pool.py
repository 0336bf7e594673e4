"""Of configuration files: upstreams, in groups or of one service, and their health checks.

[[group]]
upstream = ["10.0.0.2:9000", {address = "10.0.0.3:9000", weight = 3, max-connections = 100}]
slow-start = "30s"
[group.health]           all of it may be left out
interval = "2s"          and timeout, rise, fall
send = "PING\\r\\n"        each character is one byte
expect = "+PONG"
"""

from __future__ import annotations

from collections.abc import Mapping

from sockproxy.net.address import parse_host
from sockproxy.proxy.pool import (
    MOST_BYTES,
    MOST_CONNECTIONS,
    MOST_TIMES,
    MOST_WEIGHT,
    ORIGINAL,
    SHORTEST,
    Health,
    Pool,
    Upstream,
    given_twice,
)
from sockproxy.tables import Table

__all__ = ["POOL", "read_groups", "read_pool"]

POOL = {"upstream", "health", "slow-start"}
"""The keys of a service or a group that read_pool() takes."""
_UPSTREAM = {"address", "weight", "max-connections"}
_HEALTH = {"interval", "timeout", "rise", "fall", "send", "expect"}
_USUAL = Health()


def read_groups(table: Table) -> dict[str, Pool]:
    """Those of a file, by name. Raises UsageError."""
    groups: dict[str, Pool] = {}
    if not table.has("group"):
        return groups
    for each in table.tables("group", {"name", *POOL}):
        name = each.text("name")
        if ":" in name or not name:
            raise each.wrong("name", "must be a text without a colon, which addresses have")
        if name in groups:
            raise each.wrong("name", f"there is another group {name}")
        groups[name] = _read_own(each)
    return groups


def read_pool(table: Table, groups: Mapping[str, Pool]) -> Pool:
    """The upstreams of a service: a group, addresses, or the original destination. Raises
    UsageError."""
    words = [each for each in table.texts_or_tables("upstream", _UPSTREAM) if isinstance(each, str)]
    if len(words) == 1 and words[0] in groups:
        _refuse_others(table, f"belongs to the group {words[0]}")
        return groups[words[0]]
    if any(word in groups for word in words):
        raise table.wrong("upstream", "a group stands alone")
    if words == [ORIGINAL]:
        _refuse_others(table, f"is for upstreams, and not for {ORIGINAL}")
        return Pool(())
    if ORIGINAL in words:
        raise table.wrong("upstream", f"{ORIGINAL} stands alone")
    if unknown := [word for word in words if ":" not in word]:
        raise table.wrong("upstream", f"no group is called {unknown[0]}; write others as ADDR:PORT")
    return _read_own(table)


def _refuse_others(table: Table, why: str) -> None:
    """What there is beside an upstream that stands alone."""
    if len(table.texts_or_tables("upstream", _UPSTREAM)) > 1:
        raise table.wrong("upstream", "a group, or original-dst, stands alone")
    for key in ("health", "slow-start"):
        if table.has(key):
            raise table.wrong(key, why)


def _read_own(table: Table) -> Pool:
    upstreams = [
        Upstream(table.parsed("upstream", parse_host, each))
        if isinstance(each, str)
        else _upstream(each)
        for each in table.texts_or_tables("upstream", _UPSTREAM)
    ]
    if twice := given_twice(upstreams):
        raise table.wrong("upstream", f"{twice} is there twice")
    slow_start = table.if_there("slow-start", table.duration) or 0.0
    health = table.if_there("health", lambda key: _health(table.table(key, _HEALTH)))
    return Pool(tuple(upstreams), health, slow_start)


def _upstream(table: Table) -> Upstream:
    most = table.if_there(
        "max-connections", lambda key: table.number(key, None, 1, MOST_CONNECTIONS)
    )
    host = table.parsed("address", parse_host, table.text("address"))
    return Upstream(host, table.number("weight", 1, 0, MOST_WEIGHT), most)


def _health(table: Table) -> Health:
    interval = table.duration("interval", _USUAL.interval)
    if interval < SHORTEST:
        raise table.wrong("interval", f"must be {SHORTEST * 1000:g}ms at least")
    return Health(
        interval,
        table.duration("timeout", _USUAL.timeout),
        table.number("rise", _USUAL.rise, 1, MOST_TIMES),
        table.number("fall", _USUAL.fall, 1, MOST_TIMES),
        _bytes(table, "send"),
        _bytes(table, "expect"),
    )


def _bytes(table: Table, key: str) -> bytes:
    try:
        found = table.text(key, "").encode("latin-1")
    except UnicodeEncodeError:
        raise table.wrong(key, "each character is one byte: from \\u0000 to \\u00FF") from None
    if len(found) > MOST_BYTES:
        raise table.wrong(key, f"must be {MOST_BYTES} bytes at most")
    return found

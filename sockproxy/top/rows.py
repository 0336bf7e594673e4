"""Connections of proxies and of bypasses as rows of one shape, and what they do in a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sockproxy.net.address import format_address
from sockproxy.proxy.answers import label_of

__all__ = ["SORTS", "Meter", "Row", "bypass_rows", "proxy_rows"]

WAYS = {"redirected": "kernel", "pumped": "relay", "short_circuited": "past"}
"""The counters of a direction of a proxy, and what a row calls them."""
OPENER = "opener"


@dataclass(frozen=True, slots=True)
class Row:
    """One connection. Bytes are those so far; `out` goes from the one who opened it.

    key: by which it is known again. moved: bytes of both directions by who moved them: "kernel",
        "relay" or "past" of a proxy; "bypass" or "tcp" of a bypass.
    now: who would move the next ones. why: why not another, "" where there is nothing to say.
    out_rate, back_rate: bytes a second since the last look; 0 where there was none.
    """

    key: tuple[str, object]
    name: str
    opener: str
    accepter: str
    age: float
    out: int
    back: int
    moved: Mapping[str, int]
    now: str
    why: str
    out_rate: float = 0.0
    back_rate: float = 0.0

    @property
    def rate(self) -> float:
        """Of both directions."""
        return self.out_rate + self.back_rate


SORTS: dict[str, Callable[[Row], Any]] = {
    "rate": lambda row: (-row.rate, row.age),
    "age": lambda row: -row.age,
    "bytes": lambda row: -(row.out + row.back),
    "name": lambda row: (row.name, row.opener),
}
"""By what rows may be in order."""


def proxy_rows(answer: dict[str, Any]) -> Iterable[Row]:
    """Of what a proxy answers to "connections"."""
    for pair in answer["connections"]:
        forward, backward = pair["forward"], pair["backward"]
        moved = {how: forward[key] + backward[key] for key, how in WAYS.items()}
        yield Row(
            key=(answer["name"], pair["number"]),
            name=label_of(answer["name"], pair["service"]),
            opener=format_address(pair["client"]),
            accepter=format_address(pair["upstream"]),
            age=pair["age"],
            out=sum(forward[key] for key in WAYS),
            back=sum(backward[key] for key in WAYS),
            moved=moved,
            now="kernel" if "redirect" in (forward["state"], backward["state"]) else "relay",
            why=forward["why"] or backward["why"] or pair["why_not_short_circuited"],
        )


def bypass_rows(seen: dict[str, Any]) -> Iterable[Row]:
    """Of what bypass_connections() has: each connection once, by the end that opened it, or by the
    only one that is enrolled."""
    here = {end["cookie"] for end in seen["connections"]}
    for end in seen["connections"]:
        if end["role"] != OPENER and end["peer"] in here:
            continue
        yield Row(
            key=(seen["name"], end["cookie"]),
            name=seen["name"],
            opener=format_address(end["local"]),
            accepter=format_address(end["remote"]),
            age=end["age"],
            out=end["bytes_sent"],
            back=end["bytes_received"],
            moved={
                "bypass": end["bypassed_bytes"],
                "tcp": end["bytes_sent"] - end["bypassed_bytes"],
            },
            now="bypass" if end["state"] in ("bypassing", "short-circuit") else "tcp",
            why=end["why"],
        )


class Meter:
    """Compares each look with the one before."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, object], Row] = {}
        self._at = 0.0

    def measure(self, rows: Iterable[Row], at: float) -> list[Row]:
        """The rows with their rates. at: seconds, when they were read."""
        time, before = at - self._at, self._before
        measured = [_with_rates(row, before.get(row.key), time) for row in rows]
        self._before = {row.key: row for row in measured}
        self._at = at
        return measured


def _with_rates(row: Row, before: Row | None, time: float) -> Row:
    if before is None or time <= 0:
        return row
    grown = {how: count - before.moved.get(how, 0) for how, count in row.moved.items()}
    moves = max(grown, key=lambda how: grown[how])
    return replace(
        row,
        now=moves if grown[moves] > 0 else row.now,
        out_rate=max(0.0, (row.out - before.out) / time),
        back_rate=max(0.0, (row.back - before.back) / time),
    )

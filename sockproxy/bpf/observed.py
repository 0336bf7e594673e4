"""What a bypass that only observes has found out of services: bpf/bypass/observe.h."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sockproxy.bpf import Map, ffi, pinned
from sockproxy.bpf.abi import read_end

__all__ = ["OBSERVED", "Observed", "read_observed"]

OBSERVED = "observed"
"""The map, which is pinned beside those of sockproxy.bpf.bypass; an older bypass has none."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Connections that were accepted at `local` and have ended.

    paired: how many had both ends in the bypass. bytes: what these carried, both ways. rounds: how
    often the accepter of one sent after something had come.
    """

    local: tuple[str, int]
    connections: int
    paired: int
    bytes: int
    rounds: int


def read_observed(folder: Path) -> list[Observed]:
    """Of the bypass whose pins are in `folder`."""
    if not (folder / OBSERVED).exists():
        return []
    found, value = [], ffi.new("struct observed *")
    with pinned(str(folder / OBSERVED)) as fd:
        table = Map(OBSERVED, fd)
        for key in table.keys("struct place"):
            if table.lookup(key, value):
                counts = value.connections, value.paired, value.bytes, value.rounds
                found.append(Observed(read_end(key, "local"), *map(int, counts)))
    return found

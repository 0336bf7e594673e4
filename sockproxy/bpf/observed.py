"""What a bypass that only observes has found out of services: bpf/bypass/observe.h."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sockproxy.bpf import Map, ffi, pinned
from sockproxy.bpf.abi import Gain, read_end
from sockproxy.bpf.listing import Connection

__all__ = ["OBSERVED", "Observed", "observed_of", "read_observed"]

OBSERVED = "observed"
"""The map, which is pinned beside those of sockproxy.bpf.bypass; an older bypass has none."""
BITS: int = ffi.integer_const("GAIN_BITS")


@dataclass(slots=True)
class Observed:
    """Connections that were accepted in one place.

    apart, brief, streams, requests: how many, by what a bypass would have gained (enum gain).
    bytes: what those that are not apart carried, both ways. answers: how often the accepter of one
    sent after something had come.
    """

    apart: int = 0
    brief: int = 0
    streams: int = 0
    requests: int = 0
    bytes: int = 0
    answers: int = 0

    def add(self, one: Observed) -> None:
        """What was found out of others."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(one, name))


def observed_of(one: Connection) -> Observed | None:
    """What there is of a connection that lives; None where it is not observed by this end."""
    gain = Gain(one.observed & ((1 << BITS) - 1))
    if gain is Gain.UNTOLD:
        return None
    if gain is Gain.APART:
        return Observed(apart=1)
    return Observed(
        brief=gain is Gain.BRIEF,
        streams=gain is Gain.STREAM,
        requests=gain is Gain.REQUESTS,
        bytes=one.bytes_sent + one.bytes_received,
        answers=one.observed >> BITS,
    )


def read_observed(folder: Path) -> dict[tuple[str, int], Observed]:
    """Of connections that have ended, by where they were accepted; of the bypass whose pins are in
    `folder`."""
    if not (folder / OBSERVED).exists():
        return {}
    found, value = {}, ffi.new("struct observed *")
    with pinned(str(folder / OBSERVED)) as fd:
        table = Map(OBSERVED, fd)
        for key in table.keys("struct place"):
            if table.lookup(key, value):
                counts = {name: int(getattr(value, name)) for name in Observed.__slots__}
                found[read_end(key, "local")] = Observed(**counts)
    return found

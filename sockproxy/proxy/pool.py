"""What the upstreams of a service are to be: weights, limits, checks, and within which bounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sockproxy.errors import UsageError
from sockproxy.net.address import Host, parse_host

__all__ = [
    "MOST_BYTES",
    "MOST_CONNECTIONS",
    "MOST_TIMES",
    "MOST_WEIGHT",
    "ORIGINAL",
    "SHORTEST",
    "Health",
    "Pool",
    "Upstream",
    "given_twice",
    "parse_upstreams",
]

ORIGINAL = "original-dst"
MOST_WEIGHT = 256
MOST_CONNECTIONS = 500_000  # of a proxy, and so at one upstream
MOST_TIMES = 100  # rise and fall
MOST_BYTES = 4096  # of what a check sends, or expects
SHORTEST = 0.05  # seconds between two checks
HINT = "write it as ADDR:PORT,weight=N,max-connections=N, either of which may be left out"


@dataclass(frozen=True, slots=True)
class Upstream:
    """A host that clients may go to, as a user wrote it.

    weight: its share of the clients, beside the others'; 0 for no new ones.
    most: clients at once at each of its addresses; None for as many as come.
    """

    host: Host
    weight: int = 1
    most: int | None = None

    def __str__(self) -> str:
        return str(self.host)

    @property
    def described(self) -> str:
        """With what is not as usual."""
        weight = f" weight {self.weight}" if self.weight != 1 else ""
        most = f" max-connections {self.most}" if self.most is not None else ""
        return f"{self.host}{weight}{most}"


@dataclass(frozen=True, slots=True)
class Health:
    """How it is found out whether an upstream serves. Times are in seconds.

    interval: between two checks, give or take a tenth. timeout: of each.
    rise, fall: so many that succeed, or fail, in a row, make it up, or down.
    send: what is sent when it is connected. expect: with what the answer has to begin.
    """

    interval: float = 2.0
    timeout: float = 2.0
    rise: int = 2
    fall: int = 3
    send: bytes = b""
    expect: bytes = b""

    def __str__(self) -> str:
        how = f"every {self.interval:g} s, {self.timeout:g} s each, rise {self.rise}"
        more = [
            f"{name} {value!r}"
            for name, value in (("send", self.send), ("expect", self.expect))
            if value
        ]
        return ", ".join([how, f"fall {self.fall}", *more])


@dataclass(frozen=True, slots=True)
class Pool:
    """The upstreams of a service; none where clients go to the original destination of a REDIRECT.

    health: None for no checks. slow_start: seconds in which the share of one that is up again
    rises; 0 for at once.
    """

    upstreams: tuple[Upstream, ...]
    health: Health | None = None
    slow_start: float = 0.0


def given_twice(upstreams: Iterable[Upstream]) -> Host | None:
    """The first host that is more than one of them; None where each is one."""
    counts = Counter(each.host for each in upstreams)
    return next((host for host, count in counts.items() if count > 1), None)


def parse_upstreams(texts: Sequence[str]) -> tuple[Upstream, ...]:
    """Those that --upstream names; none of them for the original destination.

    Raises UsageError where one is no address, has none, or is there twice with other terms.
    """
    if ORIGINAL not in texts:
        found = tuple(dict.fromkeys(map(_parse_upstream, texts)))
        if twice := given_twice(found):
            raise UsageError(f"upstream {twice} is there twice", hint="leave one of them out")
        return found
    if len(texts) > 1:
        raise UsageError(f"{ORIGINAL} stands alone", hint="leave the others out")
    return ()


def _parse_upstream(text: str) -> Upstream:
    address, *terms = text.split(",")
    found: dict[str, int] = {}
    for term in terms:
        key, _, value = term.partition("=")
        least, most = {"weight": (0, MOST_WEIGHT), "max-connections": (1, MOST_CONNECTIONS)}.get(
            key, (1, 0)
        )
        number = int(value) if value.isascii() and value.isdigit() and len(value) < 10 else -1
        if key in found or least > most:
            raise UsageError(f"upstream {text!r}", hint=HINT)
        if not least <= number <= most:
            raise UsageError(f"upstream {text!r}", hint=f"{key} is from {least} to {most}")
        found[key] = number
    return Upstream(parse_host(address), found.get("weight", 1), found.get("max-connections"))

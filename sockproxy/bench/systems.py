"""Systems: the ways from client to server that are compared with each other.

plain            TCP, direct
unix             AF_UNIX, direct, as the limit
bypass           TCP, direct, with a bypass attached
bypass-all       as bypass, with --blocking-readers and --any-reader: for tools of any kind
NAME             through the proxy of that name, see peers.py, which also says of some that client
                 and server are in a bypass
NAME+bypass      through the proxy, with a bypass attached to it, the client and the server
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sockproxy.bench.peers import Peer
from sockproxy.errors import UsageError

__all__ = ["BYPASS", "BYPASS_ALL", "DIRECT", "PLAIN", "UNIX", "System", "resolve"]

PLAIN, UNIX, BYPASS = "plain", "unix", "bypass"
BYPASS_ALL = "bypass-all"


@dataclass(frozen=True, slots=True)
class System:
    """One system. key, title, about: its name, and what it is, for people. peer: the proxy, if
    any. bypassed: whether a bypass is attached. all_readers: with --blocking-readers and
    --any-reader."""

    key: str
    title: str
    about: str
    peer: Peer | None = None
    bypassed: bool = False
    all_readers: bool = False

    @property
    def unix(self) -> bool:
        """Whether the client uses AF_UNIX."""
        return self.key == UNIX

    @property
    def short_circuits(self) -> bool:
        """Whether what is between client and server may go past the proxy."""
        return self.peer is not None and self.peer.short_circuits


DIRECT = {
    PLAIN: System(PLAIN, "plain TCP", "no proxy"),
    UNIX: System(UNIX, "AF_UNIX", "no proxy, and no TCP: the limit"),
    BYPASS: System(BYPASS, "sockproxy bypass", "no proxy; sockproxy attach", bypassed=True),
    BYPASS_ALL: System(
        BYPASS_ALL,
        "sockproxy bypass, all readers",
        "no proxy; sockproxy attach --blocking-readers --any-reader",
        bypassed=True,
        all_readers=True,
    ),
}


def resolve(key: str, peers: Mapping[str, Peer]) -> System:
    """The system that a scenario calls `key`. Raises UsageError when there is none."""
    if key in DIRECT:
        return DIRECT[key]
    name, _, bypass = key.partition("+")
    if name not in peers:
        known = ", ".join([*DIRECT, *peers])
        raise UsageError(f"no system {key}", hint=f"there are {known}, and each proxy with +bypass")
    peer = peers[name]
    if bypass and peer.counts and not peer.relays:
        raise UsageError(
            f"no system {key}", hint=f"{name} has a cgroup of its own, where no bypass is attached"
        )
    title = f"{peer.title} + bypass" if bypass else peer.title
    return System(key, title, peer.about, peer, bool(bypass) or peer.bypassed, peer.all_readers)

"""What is compared: a path from client to server, and what stands in it.

plain            TCP, direct
unix             AF_UNIX, direct, as the limit
bypass           TCP, direct, with a bypass attached
NAME             the proxy of that name, of peers.py
NAME+bypass      the same, with a bypass attached to it, the client and the server
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sockproxy.bench.folder import own_folder
from sockproxy.bench.peers import Peer
from sockproxy.bench.process import Place, Server
from sockproxy.bench.topology import LOOPBACK, Hop, Topology
from sockproxy.cgroup import Cgroup
from sockproxy.controller.bypass import BypassOptions, attach, detach
from sockproxy.controller.bypass_view import bypass_status
from sockproxy.controller.runtime import ask
from sockproxy.errors import SockproxyError, UsageError

__all__ = ["BYPASS", "PLAIN", "UNIX", "System", "Under", "resolve", "standing", "why_not"]

PLAIN, UNIX, BYPASS = "plain", "unix", "bypass"
# Of the proxies, below those that netperf takes for itself.
OUTBOUND, INBOUND = 4100, 4300
DRAIN = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class System:
    """One of them. peer: the proxy, if any."""

    key: str
    title: str
    about: str
    peer: Peer | None = None
    bypassed: bool = False

    @property
    def unix(self) -> bool:
        """Whether the client uses AF_UNIX."""
        return self.key == UNIX


DIRECT = {
    PLAIN: System(PLAIN, "plain TCP", "no proxy"),
    UNIX: System(UNIX, "AF_UNIX", "no proxy, and no TCP: the limit"),
    BYPASS: System(BYPASS, "sockproxy bypass", "no proxy; sockproxy attach", bypassed=True),
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
    title = f"{peer.title} + bypass" if bypass else peer.title
    return System(key, title, peer.about, peer, bool(bypass))


@dataclass(slots=True)
class Under:
    """A system that stands: its proxies run, and are reached when it is switched on.

    servers: its processes. hops: where they listen. names: what they are called, if ours.
    """

    system: System
    servers: Sequence[Server] = ()
    hops: Sequence[Hop] = ()
    names: Sequence[str] = ()
    _before: dict[str, int] = field(default_factory=dict)

    @contextlib.contextmanager
    def switched_on(self, topology: Topology, port: int, group: Cgroup) -> Iterator[None]:
        """Connections to the server's `port` go its way, for the length of a `with`."""
        for server in self.servers:
            server.check()
        topology.redirect(port, self.hops)
        with contextlib.ExitStack() as undo:
            if self.system.bypassed:
                attach(_bypass_name(), group.path, BypassOptions())
                undo.callback(detach, _bypass_name(), DRAIN)
            self._before = self._counters()
            yield

    def own_groups(self, group: Cgroup) -> list[Cgroup]:
        """The cgroups outside of `group` that its processes have made for themselves."""
        found = [server.cgroup for server in self.servers]
        return [each for each in found if group.path not in each.path.parents]

    def carried(self, topology: Topology, payload: int) -> dict[str, int]:
        """Bytes by way since it was switched on; asked while it still is.

        payload: what the tool says to have moved, 0 when it does not say. Raises
        SockproxyError when the counters do not agree with it.
        """
        passed = topology.redirected()
        if len(passed) != len(self.hops) or not all(passed):
            raise SockproxyError(f"{self.system.title}: connections past a proxy: {passed}")
        moved = {key: now - self._before[key] for key, now in self._counters().items()}
        total = sum(moved.values())
        if self.names and total < payload * len(self.names):
            raise SockproxyError(
                f"{self.system.title}: the tool moved {payload} bytes, the proxy counted {total}"
            )
        if self.system.bypassed:
            moved |= _bypassed(payload)
        elif not moved:
            way = "unix" if self.system.unix else "proxy" if self.system.peer else "tcp"
            moved = {way: payload}
        return moved

    def _counters(self) -> dict[str, int]:
        counts = {"redirected": 0, "pumped": 0} if self.names else {}
        for name in self.names:
            status = ask(name, "status")
            for key in counts:
                counts[key] += status[key]
        return counts


def _bypassed(payload: int) -> dict[str, int]:
    """What skipped TCP, and what did not though it was the bypass's to move."""
    status = bypass_status(_bypass_name())
    past, by_tcp = status["bypassed_bytes"], status["passed_bytes"]
    total = max(payload, status["paired_bytes"], past + by_tcp)
    return {"bypassed": past, "tcp": total - past}


def _bypass_name() -> str:
    return f"bench-{os.getpid()}"


@contextlib.contextmanager
def standing(
    systems: Sequence[System], topology: Topology, port: int, places: Mapping[str, Place]
) -> Iterator[dict[str, Under | SockproxyError]]:
    """Start the proxies of all these systems; what could not start is there as its error.

    places: "proxy", and "inbound" for one beside the server. They stay for the whole case: an
    idle proxy costs the others nothing, and none is measured cold.
    """
    with contextlib.ExitStack() as undo:
        up: dict[str, Under | SockproxyError] = {}
        for number, system in enumerate(systems):
            try:
                up[system.key] = undo.enter_context(
                    _started(system, topology, port, places, number)
                )
            except SockproxyError as error:
                up[system.key] = error
        yield up


@contextlib.contextmanager
def _started(
    system: System, topology: Topology, port: int, places: Mapping[str, Place], number: int
) -> Iterator[Under]:
    with contextlib.ExitStack() as undo:
        under = Under(system)
        if system.peer is None:
            yield under
            return
        folder = undo.enter_context(own_folder())
        sides = [(places["proxy"], LOOPBACK, OUTBOUND + number)]
        if topology.sidecars:
            sides.append((places["inbound"], topology.address, INBOUND + number))
        servers, hops, names = [], [], []
        for place, address, own_port in sides:
            inbound = place is not places["proxy"]
            name = f"bench-{os.getpid()}-{own_port}"
            values = {
                "address": address, "port": own_port, "name": name,
                "upstream_address": topology.address, "upstream_port": port,
            }  # fmt: skip
            own = folder / ("inbound" if inbound else "outbound")
            own.mkdir(mode=0o755)
            server = Server(place, system.peer.command(own, values), folder=own)
            undo.callback(server.close)
            server.wait_for(functools.partial(server.listens, own_port))
            servers.append(server)
            hops.append(Hop(own_port, inbound))
            names += [name] if system.peer.counts else []
        yield Under(system, servers, hops, names)


def why_not(under: Under) -> str:
    """Why a proxy of ours does not accelerate, as it says itself."""
    peer = under.system.peer
    if peer is None or "--relay" in peer.argv:
        return ""  # it was not to
    reasons = [str(ask(name, "status")["why_not"]) for name in under.names]
    return next((reason for reason in reasons if reason), "")

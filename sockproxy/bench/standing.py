"""A system that stands: its proxies run, and a bypass is attached while it has its turn."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sockproxy.bench.folder import own_folder
from sockproxy.bench.interrupt import Undo
from sockproxy.bench.process import Place, Server
from sockproxy.bench.systems import System
from sockproxy.bench.topology import LOOPBACK, Hop, Topology
from sockproxy.bypass.attach import attach
from sockproxy.bypass.detach import detach
from sockproxy.bypass.groups import is_orphaned
from sockproxy.bypass.options import BypassOptions
from sockproxy.bypass.view import bypass_status
from sockproxy.cgroup import Cgroup
from sockproxy.errors import SockproxyError
from sockproxy.proxy.asking import ask
from sockproxy.rundir.sight import names

__all__ = ["Under", "end_bypass", "sweep_bypasses"]

# Ports of the proxies, below those that netperf takes for itself.
OUTBOUND, INBOUND = 4100, 4300
BYPASS_PREFIX = "bench-"
DRAIN = 5.0  # seconds
GRACE = 1.0  # seconds that what a proxy started has to end


@dataclass(slots=True)
class Under:
    """One system under test, at one port of the server.

    cgroup: of its proxies. hops: where they listen. names: what they are called, if ours.
    """

    system: System
    topology: Topology
    port: int
    cgroup: Cgroup
    hops: list[Hop] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    _servers: list[Server] = field(default_factory=list)
    _before: dict[str, int] = field(default_factory=dict)
    _undo: Undo = field(default_factory=Undo)

    def start(self, places: Mapping[str, Place], number: int) -> None:
        """Start its proxies, on ports of that number. After an error close() is due as well.

        places: "outbound", beside the client, and "inbound", beside the server; in its cgroup.
        """
        self.cgroup.create()
        self._undo.callback(self.cgroup.remove)
        self._undo.callback(self.cgroup.end_all, GRACE)
        if self.system.peer is None:
            return
        folder = self._undo.enter_context(own_folder())
        self._start(places["outbound"], folder / "outbound", LOOPBACK, Hop(OUTBOUND + number))
        if self.topology.sidecars:
            hop = Hop(INBOUND + number, inbound=True)
            self._start(places["inbound"], folder / "inbound", self.topology.address, hop)

    def _start(self, place: Place, folder: Path, address: str, hop: Hop) -> None:
        peer = self.system.peer
        assert peer is not None
        name = f"bench-{os.getpid()}-{hop.port}"
        values = {
            "address": address, "port": hop.port, "name": name,
            "upstream_address": self.topology.address, "upstream_port": self.port,
        }  # fmt: skip
        os.mkdir(folder, mode=0o755)
        argv = peer.command(folder, values)
        server = Server(place, argv, folder=folder)
        self._undo.callback(server.close)
        server.wait_for(functools.partial(server.listens, hop.port))
        self._servers.append(server)
        self.hops.append(hop)
        self.names += [name] if peer.counts else []

    def close(self) -> None:
        """End its proxies, and what they started."""
        self._undo.close()

    def why_not(self) -> str:
        """Why a proxy of ours does not accelerate, as it says itself."""
        peer = self.system.peer
        if peer is None or peer.relays:
            return ""  # it was not to
        reasons = [str(ask(name, "status")["why_not"]) for name in self.names]
        return next((reason for reason in reasons if reason), "")

    # -- its turn -------------------------------------------------------------------------

    @contextlib.contextmanager
    def switched_on(self, group: Cgroup) -> Iterator[None]:
        """Connections to the server's port go its way, for the length of a `with`.

        group: what a bypass is attached to.
        """
        for server in self._servers:
            server.check()
        self.topology.redirect(self.port, self.hops)
        with Undo() as undo:
            if self.system.bypassed:
                undo.callback(end_bypass)
                done = attach(
                    _bypass_name(), group.path,
                    BypassOptions(
                        blocking_readers=self.system.all_readers,
                        any_reader=self.system.all_readers,
                    ),
                )  # fmt: skip
                if done.changed:
                    raise SockproxyError("a bypass of an earlier turn is there still")
                if done.why_not:
                    raise SockproxyError(done.why_not)
            self._before = self._counters()
            yield

    def groups(self) -> list[Cgroup]:
        """Where its processes are: sockproxy's own proxy makes a cgroup for itself."""
        found = [self.cgroup, *(server.cgroup for server in self._servers)]
        return list({each.path: each for each in found}.values())

    def carried(self, payload: int) -> dict[str, int]:
        """Bytes by way since it was switched on; asked while it still is.

        payload: what the tool says to have moved, 0 when it does not say. Raises
        SockproxyError when the counters do not agree with it.
        """
        passed = self.topology.redirected()
        if len(passed) != len(self.hops) or not all(passed):
            raise SockproxyError(f"connections past a proxy: {passed}")
        moved = {key: now - self._before[key] for key, now in self._counters().items()}
        total = sum(moved.values())
        if self.names and total < payload * len(self.names):
            raise SockproxyError(f"the tool moved {payload} bytes, the proxy counted {total}")
        if self.system.bypassed:
            return moved | self._bypassed(payload * (1 + len(self.hops)) - total)
        if moved:
            return moved
        way = "unix" if self.system.unix else "proxy" if self.system.peer else "tcp"
        return {way: payload}

    def _bypassed(self, payload: int) -> dict[str, int]:
        """What skipped TCP, and what did not though it was the bypass's to move."""
        status = bypass_status(_bypass_name())
        past, by_tcp = status["bypassed_bytes"], status["passed_bytes"]
        total = max(payload, status["paired_bytes"], past + by_tcp)
        return {"bypassed": past, "tcp": total - past}

    def _counters(self) -> dict[str, int]:
        counts = {"redirected": 0, "pumped": 0} if self.names else {}
        for name in self.names:
            status = ask(name, "status")
            for key in counts:
                counts[key] += status[key]
        return counts


def _bypass_name() -> str:
    return f"{BYPASS_PREFIX}{os.getpid()}"


def sweep_bypasses() -> None:
    """Detach the bypasses of runs that were killed, once their cgroups are removed."""
    for name in names():
        if re.fullmatch(BYPASS_PREFIX + r"\d+", name) and is_orphaned(name):
            detach(name, DRAIN)


def end_bypass() -> None:
    """Detach our bypass, if it is there.

    Raises SockproxyError when somebody does not read what was bypassed to it; the next call
    collects that, once whoever it is has ended.
    """
    if _bypass_name() in names() and not detach(_bypass_name(), DRAIN).drained:
        raise SockproxyError("who was to read what was bypassed did not")

"""One system under test: its proxies, which run for a whole case, and its bypass, which is
attached only while the system has its turn."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sockproxy.bench.interrupt import Undo
from sockproxy.bench.process import Place, Server
from sockproxy.bench.systems import System
from sockproxy.bench.topology import LOOPBACK, Hop, Topology
from sockproxy.bench.workplace import own_folder
from sockproxy.bypass.attach import attach
from sockproxy.bypass.detach import detach
from sockproxy.bypass.groups import is_orphaned
from sockproxy.bypass.options import BypassOptions
from sockproxy.bypass.view import LEFT_PLAIN, bypass_status
from sockproxy.cgroup import Cgroup
from sockproxy.errors import SockproxyError
from sockproxy.proxy.asking import ask
from sockproxy.rundir.dead import clear_dead
from sockproxy.rundir.sight import names

__all__ = ["Subject", "end_bypass", "sweep_bypasses"]

# Ports of the proxies, below those that netperf takes for itself.
OUTBOUND, INBOUND = 4100, 4300
BYPASS_PREFIX = "bench-"
DRAIN = 5.0  # seconds
GRACE = 1.0  # seconds that what a proxy started has to end
NOTICED = 10.0  # seconds that a proxy has to see that a bypass was attached: it looks each second
LOOK = 0.02  # seconds

# A proxy that has not looked since the turn before must not take this turn's bypass for that one.
_TURNS = itertools.count(1)


@dataclass(slots=True)
class Subject:
    """One system, put in the way to one port of the server.

    cgroup: of its proxies. hops: where they listen. names: of the proxies that are sockproxy's
    own, which answer `sockproxy status`.
    """

    system: System
    topology: Topology
    port: int
    cgroup: Cgroup
    hops: list[Hop] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    _servers: list[Server] = field(default_factory=list)
    _before: dict[str, int] = field(default_factory=dict)
    _bypass: str = ""
    _undo: Undo = field(default_factory=Undo)

    def start(self, places: Mapping[str, Place], number: int) -> None:
        """Start the system's proxies, none for a direct one.

        places: "outbound", beside the client, and "inbound", beside the server; in `cgroup`.
        number: of the system within its case, which tells its ports from the others'.
        Raises SockproxyError when a proxy does not start; close() is due even then.
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
            "address": address,
            "port": hop.port,
            "name": name,
            "upstream_address": self.topology.address,
            "upstream_port": self.port,
        }
        os.mkdir(folder, mode=0o755)
        argv = peer.command(folder, values)
        server = Server(place, argv, folder=folder)
        self._undo.callback(server.close)
        server.wait_until_listening(hop.port)
        self._servers.append(server)
        self.hops.append(hop)
        self.names += [name] if peer.counts else []

    def close(self) -> None:
        """End the proxies, and every process that they have started."""
        self._undo.close()

    def why_not(self) -> str:
        """Why a proxy of sockproxy's does not accelerate, as `status` says; "" when it does."""
        peer = self.system.peer
        if peer is None or peer.relays:
            return ""  # it was not to
        reasons = [str(ask(name, "status")["why_not"]) for name in self.names]
        return next((reason for reason in reasons if reason), "")

    # -- its turn -------------------------------------------------------------------------

    @contextlib.contextmanager
    def switched_on(self, group: Cgroup) -> Iterator[None]:
        """For the length of a `with`, connections to the server's port pass this system.

        group: the cgroup that a bypass is attached to. Raises SockproxyError when a proxy has
        ended, when the bypass cannot be attached, or when a proxy that is to be short-circuited
        does without it.
        """
        for server in self._servers:
            server.check()
        self.topology.redirect(self.port, self.hops)
        with Undo() as undo:
            if self.system.bypassed:
                undo.callback(end_bypass)
                self._attach(group)
            if self.system.short_circuits:
                self._wait_until_noticed()
            self._before = self._counters()
            yield

    def _attach(self, group: Cgroup) -> None:
        every = self.system.all_readers
        options = BypassOptions(blocking_readers=every, any_reader=every)
        if earlier := _ours():
            raise SockproxyError(
                f"the bypass {earlier[0]} of an earlier turn is still attached",
                hint=f"end the run, then 'sockproxy detach {earlier[0]}'",
            )
        self._bypass = f"{BYPASS_PREFIX}{os.getpid()}-{next(_TURNS)}"
        done = attach(self._bypass, group.path, options)
        if done.why_not:
            raise SockproxyError(done.why_not)

    def _wait_until_noticed(self) -> None:
        deadline = time.monotonic() + NOTICED
        for name in self.names:
            while self._bypass not in (status := ask(name, "status"))["short_circuits_in"]:
                if time.monotonic() > deadline:
                    why = status["why_no_short_circuit"] or f"it has not seen {self._bypass}"
                    raise SockproxyError(f"the proxy does not short-circuit: {why}")
                time.sleep(LOOK)

    def groups(self) -> list[Cgroup]:
        """The cgroups of its processes: sockproxy's own proxy makes one for itself."""
        found = [self.cgroup, *(server.cgroup for server in self._servers)]
        return list({each.path: each for each in found}.values())

    def carried(self, payload: int) -> dict[str, int]:
        """Bytes by the way they took, since the system was switched on; ask while it still is.

        payload: bytes that the tool says it has moved, 0 when it does not say. Raises
        SockproxyError when connections went past a proxy, or when the counters of a proxy have
        fewer bytes than the tool.
        """
        passed = self.topology.redirected()
        if len(passed) != len(self.hops) or not all(passed):
            raise SockproxyError(
                f"connections went past a proxy: those redirected to each are {passed}"
            )
        moved = {key: now - self._before[key] for key, now in self._counters().items()}
        total = sum(moved.values())
        if self.names and total < payload * len(self.names):
            raise SockproxyError(f"the tool moved {payload} bytes, the proxy counted {total}")
        if self.system.short_circuits:
            self._check_past(moved["short_circuited"])
        elif self.system.bypassed:
            return moved | self._bypassed(payload * (1 + len(self.hops)) - total)
        if moved:
            return moved
        way = "unix" if self.system.unix else "proxy" if self.system.peer else "tcp"
        return {way: payload}

    def left_plain(self) -> dict[str, int]:
        """How many sockets of its bypass stayed plain, by why, as `status` has it; ask as carried()
        is asked. Empty when none did, or without a bypass."""
        if not self.system.bypassed:
            return {}
        status = bypass_status(self._bypass)
        return {why: status[why] for why in LEFT_PLAIN if status[why]}

    def _bypassed(self, payload: int) -> dict[str, int]:
        """Of the bytes between sockets of the bypass, those that skipped TCP, and the rest."""
        status = bypass_status(self._bypass)
        past, by_tcp = status["bypassed_bytes"], status["passed_bytes"]
        total = max(payload, status["paired_bytes"], past + by_tcp)
        return {"bypassed": past, "tcp": total - past}

    def _check_past(self, moved: int) -> None:
        """Raise SockproxyError when more went past the proxies, by what they say, than skipped TCP
        by what the bypass says: each proxy counts all that goes past it."""
        skipped = bypass_status(self._bypass)["bypassed_bytes"]
        if moved > skipped * len(self.names):
            raise SockproxyError(f"{moved} bytes went past the proxy, and {skipped} skipped TCP")

    def _counters(self) -> dict[str, int]:
        ways = ["short_circuited"] * self.system.short_circuits + ["redirected", "pumped"]
        counts = dict.fromkeys(ways, 0) if self.names else {}
        for name in self.names:
            status = ask(name, "status")
            for key in counts:
                counts[key] += status[key]
        return counts


def _ours() -> list[str]:
    """The bypasses of this run that are attached."""
    return [name for name in names() if name.startswith(f"{BYPASS_PREFIX}{os.getpid()}-")]


def sweep_bypasses() -> None:
    """Detach the bypasses of runs that were killed, once their cgroups are removed, and take away
    what one that was killed while it attached or detached has left half done."""
    clear_dead()
    for name in names():
        if re.fullmatch(BYPASS_PREFIX + r"\d+(-\d+)?", name) and is_orphaned(name):
            detach(name, DRAIN)


def end_bypass() -> None:
    """Detach this run's bypass, if it is attached.

    Raises SockproxyError when a process has left bypassed bytes unread; the next call takes
    those away, once that process has ended.
    """
    for name in _ours():
        if not detach(name, DRAIN).drained:
            raise SockproxyError(f"detach {name}: a process has not read what was bypassed to it")

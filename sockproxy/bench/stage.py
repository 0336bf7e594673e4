"""Where one case is played: namespaces, cgroups, the tool's server, and one run of its client."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sockproxy.bench import machine
from sockproxy.bench.accounting import ALONE, Meter
from sockproxy.bench.folder import own_folder
from sockproxy.bench.interrupt import Undo
from sockproxy.bench.process import Place, run_client
from sockproxy.bench.scenario import Case
from sockproxy.bench.standing import Under, end_bypass
from sockproxy.bench.systems import System
from sockproxy.bench.tools import TOOLS, Host, Outcome, Target, Tool
from sockproxy.bench.topology import PROXY_GROUP, Topology
from sockproxy.cgroup import Cgroup
from sockproxy.errors import SockproxyError

__all__ = ["Stage", "staged"]

GRACE = 1.0  # seconds that what a server started has to end


@dataclass(frozen=True, slots=True)
class Stage:
    """One case, ready to be played. group: the cgroup that all of it is in."""

    case: Case
    tool: Tool
    topology: Topology
    host: Host
    client: Place
    group: Cgroup

    def raise_up(self, system: System, number: int) -> Under:
        """Start a system's proxies, which must be closed. Raises SockproxyError."""
        group = self.group.child(f"proxy-{number}")
        under = Under(system, self.topology, self.tool.port, group)
        beside = {"outbound": self.client, "inbound": self.host.place}
        places = {
            side: Place(end.namespace, group, end.cpus, PROXY_GROUP) for side, end in beside.items()
        }
        try:
            under.start(places, number)
        except BaseException:
            under.close()
            raise
        return under

    def take(self, under: Under, amount: int, slack: float) -> dict[str, Any]:
        """One run of the client: a sample, as document.py has it.

        amount: seconds, or transactions. slack: seconds that it may take beyond twice the
        length of a run. Raises SockproxyError when it fails, or its figures cannot be right.
        """
        case, tool = self.case, self.tool
        path = tool.unix_path(self.host) if under.system.unix else None
        argv = tool.command(case, Target(self.topology.address, self.host.folder, path), amount)
        with under.switched_on(self.group):
            began = time.monotonic()
            meter = Meter(
                {
                    "client": [self.client.cgroup],
                    "server": [self.host.place.cgroup],
                    "proxy": under.groups(),
                }
            )
            output = run_client(self.client, argv, case.seconds * 2 + slack)
            spent = meter.read()
            seconds = time.monotonic() - began
            outcome = tool.read(case, output, amount)
            if not outcome.values[tool.tests[case.test].headline] > 0:
                raise SockproxyError(f"{tool.title}: nothing was moved")
            carried = under.carried(outcome.payload)
        return {
            "argv": [Path(argv[0]).name, *argv[1:]],
            "seconds": round(seconds, 6),
            "values": {**outcome.values, **_cost(outcome, spent)},
            "cpu": {part: round(each, 6) for part, each in spent.items()},
            "carried": carried,
            "checks": list(outcome.checks),
            "raw": outcome.raw,
        }

    def recover(self) -> str:
        """After a failure, when a server may wait for a client that is gone: start it anew.

        Returns what a server that has died said. Raises SockproxyError when it cannot start.
        """
        words = ""
        try:
            self.host.check()
        except SockproxyError as error:
            words = str(error)
        self.host.clear()
        end_bypass()  # now that who did not read has ended
        self.tool.serve(self.case, self.host)
        return words


@contextlib.contextmanager
def staged(case: Case, group: Cgroup) -> Iterator[Stage]:
    """Set the stage for a case, for the length of a `with`. Raises SockproxyError."""
    tool = TOOLS[case.tool]
    with Undo() as undo:
        topology = Topology(case.topology)
        undo.callback(topology.close)
        folder = undo.enter_context(own_folder())
        groups = {}
        for part in ("client", "server"):
            groups[part] = group.child(part).create()
            undo.callback(groups[part].remove)
            undo.callback(groups[part].end_all, GRACE)
        near, far = _cpus(case.placement)
        # Servers are not limited in what they write: PostgreSQL has files of its own.
        place = Place(topology.server, groups["server"], far, limited=False)
        host = Host(place, topology.address, folder)
        undo.callback(host.close)
        tool.serve(case, host)
        yield Stage(
            case, tool, topology, host, Place(topology.client, groups["client"], near), group
        )


def _cpus(placement: str) -> tuple[frozenset[int], frozenset[int]]:
    """The CPUs of the client and its proxy, and those of the server and its proxy."""
    first, second = machine.choose_cpus()
    if placement == "free":
        return frozenset(), frozenset()
    return frozenset({first}), frozenset({first if placement == "together" else second})


def _cost(outcome: Outcome, spent: Mapping[str, float]) -> dict[str, float]:
    """CPU of all that is under test, for what was done."""
    ours = sum(each for part, each in spent.items() if part not in ALONE)
    if outcome.transactions:
        return {"cpu_us_per_transaction": ours * 1e6 / outcome.transactions}
    return {"cpu_s_per_gb": ours * 1e9 / outcome.payload} if outcome.payload else {}

"""One case, set up: namespaces, cgroups, the tool's server; and one run of the tool's client."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sockproxy.bench import machine
from sockproxy.bench.interrupt import Undo
from sockproxy.bench.load import Host, Outcome, Target, Tool
from sockproxy.bench.meter import ALONE, Meter
from sockproxy.bench.process import Place, run_client
from sockproxy.bench.scenario import Case
from sockproxy.bench.subject import Subject, end_bypass
from sockproxy.bench.systems import System
from sockproxy.bench.topology import PROXY_GROUP, Topology
from sockproxy.bench.workplace import own_folder
from sockproxy.cgroup import Cgroup
from sockproxy.errors import SockproxyError

__all__ = ["Stage", "staged"]

GRACE = 1.0  # seconds that what a server started has to end


@dataclass(frozen=True, slots=True)
class Stage:
    """One case, ready to be measured. group: the cgroup that all processes of the case are in."""

    case: Case
    tool: Tool
    topology: Topology
    host: Host
    client: Place
    group: Cgroup

    def raise_up(self, system: System, number: int) -> Subject:
        """Start a system's proxies; the caller closes what is returned.

        number: of the system within the case. Raises SockproxyError when a proxy does not start.
        """
        group = self.group.child(f"proxy-{number}")
        subject = Subject(system, self.topology, self.tool.port, group)
        beside = {"outbound": self.client, "inbound": self.host.place}
        places = {
            side: Place(end.namespace, group, end.cpus, PROXY_GROUP) for side, end in beside.items()
        }
        try:
            subject.start(places, number)
        except BaseException:
            subject.close()
            raise
        return subject

    def take(self, subject: Subject, amount: int, slack: float) -> dict[str, Any]:
        """One run of the client: an entry of `samples` as result/document.py has it, without the
        keys case, system, round and order.

        amount: seconds, or transactions. slack: seconds that it may take beyond twice the
        length of a run. Raises SockproxyError when it fails, or its figures cannot be right.
        """
        case, tool = self.case, self.tool
        path = tool.unix_path(self.host) if subject.system.unix else None
        argv = tool.command(case, Target(self.topology.address, self.host.folder, path), amount)
        with subject.switched_on(self.group):
            began = time.monotonic()
            meter = Meter(
                {
                    "client": [self.client.cgroup],
                    "server": [self.host.place.cgroup],
                    "proxy": subject.groups(),
                }
            )
            output = run_client(self.client, argv, case.seconds * 2 + slack)
            switches, spent = meter.switches(), meter.read()
            self.host.check()  # a figure of a server that has ended is of the client alone
            seconds = time.monotonic() - began
            outcome = tool.read(case, output, amount)
            if not outcome.values[tool.tests[case.test].headline] > 0:
                raise SockproxyError(f"{tool.title}: nothing was moved")
            carried = subject.carried(outcome.payload)
            plain = subject.left_plain()
        return {
            **({"each_second": list(outcome.each_second)} if outcome.each_second else {}),
            **({"left_plain": plain} if plain else {}),
            "argv": [Path(argv[0]).name, *argv[1:]],
            "seconds": round(seconds, 6),
            "values": {**outcome.values, **_cost(outcome, spent, switches)},
            "cpu": {part: round(each, 6) for part, each in spent.items()},
            "carried": carried,
            "checks": list(outcome.checks),
            "raw": outcome.raw,
        }

    def recover(self) -> str:
        """Start the tool's server anew after a failed run: it may wait for a client that is gone.

        Returns how the server has ended, if it has, or "". Raises SockproxyError when it does not
        start again.
        """
        words = ""
        try:
            self.host.check()
        except SockproxyError as error:
            words = str(error)
        self.host.clear()
        end_bypass()  # the server that may not have read what was bypassed to it has ended
        self.tool.serve(self.case, self.host)
        return words


@contextlib.contextmanager
def staged(case: Case, group: Cgroup) -> Iterator[Stage]:
    """A case set up for the length of a `with`, within the cgroup `group`.

    Raises SockproxyError when namespaces cannot be made, or the tool's server does not start.
    """
    tool = case.tool
    with Undo() as undo:
        topology = Topology(case.topology, case.control)
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


def _cost(outcome: Outcome, spent: Mapping[str, float], switches: int) -> dict[str, float]:
    """The CPU metrics of a run, of all parts that are under test: seconds for each GB, or
    microseconds for each transaction, and the context switches of the machine for each."""
    ours = sum(each for part, each in spent.items() if part not in ALONE)
    if outcome.transactions:
        return {
            "cpu_us_per_transaction": ours * 1e6 / outcome.transactions,
            "switches_per_transaction": switches / outcome.transactions,
        }
    return {"cpu_s_per_gb": ours * 1e9 / outcome.payload} if outcome.payload else {}

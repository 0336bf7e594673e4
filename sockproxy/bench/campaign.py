"""A run: every system has its turn at every case in every round, in another order each time."""

from __future__ import annotations

import contextlib
import datetime
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sockproxy
from sockproxy.bench import machine
from sockproxy.bench.accounting import Meter
from sockproxy.bench.document import KIND, SCHEMA, Document
from sockproxy.bench.folder import own_folder, sweep_folders
from sockproxy.bench.metrics import METRICS
from sockproxy.bench.peers import Peer
from sockproxy.bench.process import Place, find_program, run_client
from sockproxy.bench.scenario import RUN_OVERHEAD, Case, Scenario
from sockproxy.bench.summary import noise, summarize
from sockproxy.bench.systems import System, Under, resolve, standing, why_not
from sockproxy.bench.tools import TOOLS, Host, Outcome, Target, Tool
from sockproxy.bench.topology import PROXY_GROUP, Topology
from sockproxy.cgroup import Cgroup, create_owned, sweep
from sockproxy.controller.bypass import detach, is_orphaned, names
from sockproxy.errors import SockproxyError, Unsupported

__all__ = ["Campaign", "Interrupted"]

MOST_COUNTED = 2_000_000  # transactions
DRAIN = 5.0  # seconds
CONFIDENCE = 0.95
Progress = Callable[[str], None]


class Interrupted(Exception):
    """A signal asked us to end; its number is the only argument."""


@dataclass(frozen=True, slots=True)
class _Stage:
    """Where one case is played."""

    case: Case
    tool: Tool
    topology: Topology
    host: Host
    client: Place
    group: Cgroup
    meter: Meter


class Campaign:
    """One run of a scenario. progress: receives a line for each step.

    slack: seconds that a client may take beyond twice the length of a run.

    document: what was found so far; whole after run(), and good to be kept after any error.
    """

    def __init__(
        self,
        scenario: Scenario,
        peers: Mapping[str, Peer],
        *,
        seed: int,
        slack: float,
        progress: Progress,
    ) -> None:
        self._slack = slack
        self._scenario = scenario
        self._random = random.Random(seed)
        self._progress = progress
        self._began = time.monotonic()
        self._runs = 0
        self._total = scenario.runs
        self._systems = {
            key: resolve(key, peers)
            for key in dict.fromkeys(
                [*scenario.against, *(key for case in scenario.cases for key in case.systems)]
            )
        }
        self.document: Document = {
            "schema": SCHEMA, "kind": KIND, "sockproxy": sockproxy.__version__,
            "began": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "took": 0.0, "complete": False,
            "scenario": {
                "name": scenario.name, "title": scenario.title, "seed": seed,
                "rounds": scenario.rounds, "seconds": scenario.seconds,
                "confidence": CONFIDENCE, "against": list(scenario.against),
            },
            "machine": {**machine.describe(), "versions": {}, "sysctls": {}},
            "systems": [], "cases": [], "samples": [], "failures": [], "skipped": [],
            "metrics": {key: asdict(metric) for key, metric in METRICS.items()},
            "warnings": [], "summary": [],
        }  # fmt: skip

    def run(self) -> None:
        """All of it. Raises SockproxyError when nothing can run, Interrupted by a signal."""
        if find_program("nft") is None:
            raise Unsupported("find nft", hint="apt-get install nftables")
        _collect_orphans()
        try:
            busy = machine.busy_share(0.5)
            if busy > machine.BUSY:
                self.document["warnings"].append(
                    f"{busy:.0%} of the CPUs were busy with other things before it began"
                )
            with contextlib.ExitStack() as undo:
                group = create_owned("bench")
                undo.callback(group.remove)
                undo.callback(group.end_all, 1.0)
                self._describe_systems()
                for case in self._scenario.cases:
                    self._play(case, group)
            self.document["complete"] = True
        finally:
            self.document["took"] = round(time.monotonic() - self._began, 1)
            self.document["summary"] = summarize(self.document)
            self.document["warnings"] += noise(self.document)

    def _describe_systems(self) -> None:
        versions = self.document["machine"]["versions"]
        for name in dict.fromkeys(case.tool for case in self._scenario.cases):
            versions[name] = machine.version(TOOLS[name].version)
        for system in self._systems.values():
            peer = system.peer
            self.document["systems"].append(
                {
                    "key": system.key, "title": system.title, "about": system.about,
                    "argv": list(peer.argv) if peer else None,
                    "config": peer.config[1] if peer and peer.config else None,
                    "version": machine.version(peer.version_command()) if peer else None,
                    "why_not": "",
                }
            )  # fmt: skip

    # -- one case -------------------------------------------------------------------------

    def _play(self, case: Case, group: Cgroup) -> None:
        tool = TOOLS[case.tool]
        self._skips = 0
        systems = self._able(case, tool)
        self.document["cases"].append(_describe_case(case, systems))
        if not systems:
            return
        try:
            with _plain_errors(), self._stage(case, tool, group) as stage:
                places = _proxy_places(stage)
                with standing(systems, stage.topology, tool.port, places) as up:
                    self._rounds(stage, up)
        except SockproxyError as error:
            self._failed(case, "", 0, error)

    def _able(self, case: Case, tool: Tool) -> list[System]:
        """Those that can play here; the others are noted as skipped."""
        if missing := tool.missing():
            why = f"no {', '.join(missing)}: {tool.install}"
            self._skip(case, "", why, len(case.systems))
            return []
        able = []
        for system in (self._systems[key] for key in case.systems):
            if system.unix and not tool.unix:
                self._skip(case, system.key, f"{tool.title} has no AF_UNIX")
            elif system.unix and case.topology != "loopback":
                self._skip(case, system.key, "AF_UNIX needs no network")
            elif system.peer is not None and system.peer.is_missing():
                peer = system.peer
                self._skip(case, system.key, f"no {peer.program}: {peer.install}")
            else:
                able.append(system)
        return able

    def _skip(self, case: Case, system: str, why: str, many: int = 1) -> None:
        self._total -= many * (self._scenario.rounds + 1)
        self.document["skipped"].append({"case": case.key, "system": system, "why": why})
        self._progress(f"skipped: {case.title}{': ' if system else ''}{system}: {why}")

    def _failed(self, case: Case, system: str, number: int, error: SockproxyError) -> None:
        entry = {"case": case.key, "system": system, "round": number, "why": str(error)}
        self.document["failures"].append(entry)
        self._progress(f"failed: {case.title}{': ' if system else ''}{system}: {error}")

    @contextlib.contextmanager
    def _stage(self, case: Case, tool: Tool, group: Cgroup) -> Iterator[_Stage]:
        """Namespaces, cgroups and the tool's server, for the length of a `with`."""
        with contextlib.ExitStack() as undo:
            topology = Topology(case.topology)
            undo.callback(topology.close)
            folder = undo.enter_context(own_folder())
            groups = {}
            for part in ("client", "server", "proxy"):
                groups[part] = group.child(part).create()
                undo.callback(groups[part].remove)
                undo.callback(groups[part].end_all, 1.0)
            near, far = _cpus(case.placement)
            host = Host(Place(topology.server, groups["server"], far), topology.address, folder)
            undo.callback(host.close)
            self.document["machine"]["sysctls"] = topology.sysctls()
            self._progress(f"{case.title}: starting {tool.programs[-1]}")
            tool.serve(case, host)
            yield _Stage(
                case, tool, topology, host,
                Place(topology.client, groups["client"], near), group, Meter(groups),
            )  # fmt: skip

    def _rounds(self, stage: _Stage, up: Mapping[str, Under | SockproxyError]) -> None:
        case = stage.case
        amounts: dict[str, int] = {}
        ready: dict[str, Under] = {}
        for key, under in up.items():
            try:
                if isinstance(under, SockproxyError):
                    raise under
                self._note_why_not(under)
                amounts[key] = self._warm_up(stage, under)
                ready[key] = under
            except SockproxyError as error:
                self._recover(stage)
                self._drop(case, key, 0, error)
        for number in range(1, self._scenario.rounds + 1):
            for order, key in enumerate(self._random.sample(list(ready), len(ready))):
                try:
                    sample = self._take(stage, ready[key], amounts[key])
                except SockproxyError as error:
                    self._recover(stage)
                    del ready[key]
                    self._drop(case, key, number, error)
                    continue
                self.document["samples"].append(
                    {"case": case.key, "system": key, "round": number, "order": order, **sample}
                )
                self._tell(case, ready[key].system, sample["values"])

    def _recover(self, stage: _Stage) -> None:
        """After a failure: a server may wait for a client that is gone. Start it anew.

        Raises SockproxyError when it has died: without a server nobody can go on.
        """
        stage.host.check()
        stage.host.clear()
        stage.tool.serve(stage.case, stage.host)

    def _drop(self, case: Case, key: str, number: int, error: SockproxyError) -> None:
        """It has no more turns in this case."""
        self._total -= self._scenario.rounds - max(0, number - 1) + (number == 0)
        self._failed(case, key, number, error)

    def _note_why_not(self, under: Under) -> None:
        if reason := why_not(under):
            for entry in self.document["systems"]:
                if entry["key"] == under.system.key:
                    entry["why_not"] = reason

    def _warm_up(self, stage: _Stage, under: Under) -> int:
        """One turn that does not count; how much its turns have to do from now on."""
        case, tool = stage.case, stage.tool
        sample = self._take(stage, under, tool.warm_up(case))
        if not tool.tests[case.test].counted:
            return case.seconds
        rate = float(sample["values"]["per_s"])
        return max(1, case.connections, min(MOST_COUNTED, int(rate * case.seconds)))

    def _take(self, stage: _Stage, under: Under, amount: int) -> dict[str, Any]:
        """One run of the client."""
        case, tool, system = stage.case, stage.tool, under.system
        self._runs += 1
        path = tool.unix_path(stage.host) if system.unix else None
        argv = tool.command(case, Target(stage.topology.address, stage.host.folder, path), amount)
        with under.switched_on(stage.topology, tool.port, stage.group):
            began = time.monotonic()
            stage.meter.start({"proxy": under.own_groups(stage.group)})
            output = run_client(stage.client, argv, case.seconds * 2 + self._slack)
            spent = stage.meter.stop()
            seconds = time.monotonic() - began
            outcome = tool.read(case, output, amount)
            if not outcome.values[tool.tests[case.test].headline] > 0:
                raise SockproxyError(f"{tool.title}: nothing was moved")
            carried = under.carried(stage.topology, outcome.payload)
        return {
            "argv": [Path(argv[0]).name, *argv[1:]],
            "seconds": round(seconds, 6),
            "values": {**outcome.values, **_cost(outcome, spent)},
            "cpu": {part: round(each, 6) for part, each in spent.items()},
            "carried": carried,
            "checks": list(outcome.checks),
            "raw": outcome.raw,
        }

    def _tell(self, case: Case, system: System, values: Mapping[str, float]) -> None:
        metric = METRICS[TOOLS[case.tool].tests[case.test].headline]
        figure = f"{metric.show(values[metric.key])} {metric.title}"
        spent = time.monotonic() - self._began
        each = spent / self._runs if self._runs > 3 else case.seconds + RUN_OVERHEAD
        left = max(0.0, (self._total - self._runs) * each)
        self._progress(
            f"{self._runs}/{self._total}, {_clock(left)} left: {TOOLS[case.tool].title}"
            f" {case.test}, {system.title}: {figure}"
        )


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}m{int(seconds) % 60:02}s"


def _cost(outcome: Outcome, spent: Mapping[str, float]) -> dict[str, float]:
    """CPU of everybody but `foreign`, for what was done."""
    ours = sum(each for part, each in spent.items() if part != "foreign")
    if outcome.transactions:
        return {"cpu_us_per_transaction": ours * 1e6 / outcome.transactions}
    return {"cpu_s_per_gb": ours * 1e9 / outcome.payload} if outcome.payload else {}


@contextlib.contextmanager
def _plain_errors() -> Iterator[None]:
    """What the system refuses, as an error of ours: a full disk, too many files."""
    try:
        yield
    except OSError as error:
        doing = f"use {error.filename}" if error.filename else "run it"
        raise SockproxyError(doing, errno=error.errno) from error


def _describe_case(case: Case, systems: Sequence[System]) -> dict[str, Any]:
    return {
        "key": case.key, "title": case.title, "tool": case.tool, "test": case.test,
        "topology": case.topology, "placement": case.placement,
        "connections": case.connections, "size": case.size,
        "headline": TOOLS[case.tool].tests[case.test].headline,
        "systems": [system.key for system in systems],
    }  # fmt: skip


def _cpus(placement: str) -> tuple[frozenset[int], frozenset[int]]:
    """The CPUs of the client and its proxy, and those of the server and its proxy."""
    first, second = machine.choose_cpus()
    if placement == "free":
        return frozenset(), frozenset()
    return frozenset({first}), frozenset({first if placement == "together" else second})


def _proxy_places(stage: _Stage) -> dict[str, Place]:
    group = stage.group.child("proxy")
    server = stage.host.place
    return {
        "proxy": Place(stage.client.namespace, group, stage.client.cpus, PROXY_GROUP),
        "inbound": Place(server.namespace, group, server.cpus, PROXY_GROUP),
    }


def _collect_orphans() -> None:
    """What a run that was killed has left: its cgroups, its folders and its bypass."""
    sweep()
    sweep_folders()
    for name in names():
        if re.fullmatch(r"bench-\d+", name) and is_orphaned(name):
            detach(name, DRAIN)

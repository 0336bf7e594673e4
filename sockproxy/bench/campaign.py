"""A run: every system has its turn at every case in every round, in another order each time."""

from __future__ import annotations

import contextlib
import datetime
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import sockproxy
from sockproxy.bench import interrupt, machine
from sockproxy.bench.ability import find_off, why_no_case, why_no_system
from sockproxy.bench.document import KIND, SCHEMA, Document
from sockproxy.bench.folder import sweep_folders
from sockproxy.bench.interrupt import Undo
from sockproxy.bench.metrics import METRICS
from sockproxy.bench.peers import Peer
from sockproxy.bench.programs import find_program, version
from sockproxy.bench.scenario import RUN_OVERHEAD, Case, Scenario
from sockproxy.bench.stage import Stage, staged
from sockproxy.bench.standing import Under, end_bypass, sweep_bypasses
from sockproxy.bench.summary import noise, summarize
from sockproxy.bench.systems import System, resolve
from sockproxy.bench.tools import TOOLS, Tool
from sockproxy.cgroup import Cgroup, create_owned, orphans, sweep
from sockproxy.errors import SockproxyError, Unsupported
from sockproxy.proof.ask import find_out
from sockproxy.proof.mechanisms import MECHANISMS

__all__ = ["Campaign"]

MOST_COUNTED = 2_000_000  # transactions
GRACE = 1.0  # seconds that what is left in a cgroup has to end
CONFIDENCE = 0.95
Progress = Callable[[str], None]


class Campaign:
    """One run of a scenario.

    slack: seconds that a client may take beyond twice the length of a run.
    progress: receives a line for each step.
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
        self._left = scenario.runs
        self._off: dict[str, str] = {}
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
        # Else a proxy would be measured while it relays, until doctor has found out.
        find_out(MECHANISMS, self._progress)
        self._off = find_off(self._systems.values())
        try:
            self._look_at_the_machine()
            with Undo() as undo:
                group = create_owned("bench")
                undo.callback(group.remove)
                undo.callback(end_bypass)
                undo.callback(group.end_all, GRACE)
                self._describe_systems()
                for case in self._scenario.cases:
                    self._play(case, group)
            self.document["complete"] = True
        finally:
            with interrupt.held():
                self.document["took"] = round(time.monotonic() - self._began, 1)
                self.document["summary"] = summarize(self.document)
                self.document["warnings"] += noise(self.document)

    def _look_at_the_machine(self) -> None:
        busy = machine.busy_share(0.5)
        if busy > machine.BUSY:
            self.document["warnings"].append(
                f"{busy:.0%} of the CPUs were busy with other things before it began"
            )

    def _describe_systems(self) -> None:
        versions = self.document["machine"]["versions"]
        for name in dict.fromkeys(case.tool for case in self._scenario.cases):
            for program, argv in TOOLS[name].versions.items():
                versions[program] = version(argv)
        for system in self._systems.values():
            peer = system.peer
            self.document["systems"].append(
                {
                    "key": system.key, "title": system.title, "about": system.about,
                    "argv": list(peer.argv) if peer else None,
                    "config": peer.config[1] if peer and peer.config else None,
                    "version": version(peer.version_command()) if peer else None,
                    "why_not": "",
                }
            )  # fmt: skip

    # -- one case -------------------------------------------------------------------------

    def _play(self, case: Case, group: Cgroup) -> None:
        tool = TOOLS[case.tool]
        after = self._left - len(case.systems) * (self._scenario.rounds + 1)
        systems, off = self._able(case, tool)
        shown = [key for key in case.systems if key in off or self._systems[key] in systems]
        self.document["cases"].append(_describe_case(case, shown))
        try:
            if systems:
                self._progress(f"{case.title}: starting {tool.programs[-1]}")
                with _ours(), staged(case, group) as stage, Undo() as undo:
                    self.document["machine"]["sysctls"] = stage.topology.sysctls()
                    self._rounds(stage, self._start(stage, systems, undo))
        except SockproxyError as error:
            self._fail(case, "", 0, str(error))
        interrupt.check()
        self._left = after

    def _able(self, case: Case, tool: Tool) -> tuple[list[System], list[str]]:
        """Those that can play here, and those that this kernel keeps from it; whoever cannot is
        noted as skipped."""
        able: list[System] = []
        off: list[str] = []
        if why := why_no_case(case, tool):
            self._skip(case, "", why)
            return able, off
        for system in (self._systems[key] for key in case.systems):
            if why := why_no_system(case, tool, system):
                self._skip(case, system.key, why)
            elif system.key in self._off:
                self._skip(case, system.key, f"off: {self._off[system.key]}")
                off.append(system.key)
            else:
                able.append(system)
        return able, off

    def _start(self, stage: Stage, systems: Sequence[System], undo: Undo) -> dict[str, Under]:
        """Those systems that could be started and went through a warm-up.

        They stay for the whole case: an idle proxy costs the others nothing, and none is
        measured cold.
        """
        ready = {}
        for number, system in enumerate(systems):
            try:
                with _ours():
                    under = stage.raise_up(system, number)
                    undo.callback(under.close)
                    self._note_why_not(under)
                ready[system.key] = under
            except SockproxyError as error:
                self._left -= 1  # the warm-up that it does not have
                self._drop(stage.case, system.key, 0, str(error))
        return ready

    def _rounds(self, stage: Stage, ready: dict[str, Under]) -> None:
        amounts: dict[str, int] = {}
        for key in list(ready):
            first = self._turn(stage, ready, key, 0, stage.tool.warm_up(stage.case))
            if first is not None:
                amounts[key] = _amount(stage, first["values"])
        for number in range(1, self._scenario.rounds + 1):
            for order, key in enumerate(self._random.sample(list(ready), len(ready))):
                sample = self._turn(stage, ready, key, number, amounts[key])
                if sample is not None:
                    place = {"case": stage.case.key, "system": key, "round": number}
                    self.document["samples"].append({**place, "order": order, **sample})
                    self._tell(stage.case, self._systems[key], sample["values"])

    def _turn(
        self, stage: Stage, ready: dict[str, Under], key: str, number: int, amount: int
    ) -> dict[str, Any] | None:
        """One run, or none: then the system has no more turns in this case."""
        interrupt.check()
        self._runs += 1
        self._left -= 1
        try:
            with _ours():
                return stage.take(ready[key], amount, self._slack)
        except SockproxyError as error:
            interrupt.check()
            why = str(error)
            try:
                ready.pop(key).close()
                words = stage.recover()
                why = f"{why}; {words}" if words else why
            finally:
                self._drop(stage.case, key, number, why)
            return None

    def _drop(self, case: Case, key: str, number: int, why: str) -> None:
        self._left -= self._scenario.rounds - number
        self._fail(case, key, number, why)

    def _fail(self, case: Case, key: str, number: int, why: str) -> None:
        entry = {"case": case.key, "system": key, "round": number, "why": why}
        self.document["failures"].append(entry)
        self._progress(f"failed: {case.title}{': ' if key else ''}{key}: {why}")

    def _skip(self, case: Case, key: str, why: str) -> None:
        many = 1 if key else len(case.systems)
        self._left -= many * (self._scenario.rounds + 1)
        self.document["skipped"].append({"case": case.key, "system": key, "why": why})
        self._progress(f"skipped: {case.title}{': ' if key else ''}{key}: {why}")

    def _note_why_not(self, under: Under) -> None:
        if reason := under.why_not():
            for entry in self.document["systems"]:
                if entry["key"] == under.system.key:
                    entry["why_not"] = reason

    def _tell(self, case: Case, system: System, values: Mapping[str, float]) -> None:
        metric = METRICS[TOOLS[case.tool].tests[case.test].headline]
        figure = f"{metric.show(values[metric.key])} {metric.title}"
        spent = time.monotonic() - self._began
        each = spent / self._runs if self._runs > 3 else case.seconds + RUN_OVERHEAD
        left = int(max(0, self._left) * each)
        self._progress(
            f"{self._runs}/{self._runs + max(0, self._left)}, {left // 60}m{left % 60:02}s left:"
            f" {TOOLS[case.tool].title} {case.test}, {system.title}: {figure}"
        )


@contextlib.contextmanager
def _ours() -> Iterator[None]:
    """Whatever goes wrong, as an error of ours: a full disk, output that nobody expects."""
    try:
        yield
    except SockproxyError:
        raise
    except OSError as error:
        doing = f"use {error.filename}" if error.filename else "run it"
        raise SockproxyError(doing, errno=error.errno) from error
    except Exception as error:
        raise SockproxyError(f"{type(error).__name__}: {' '.join(str(error).split())}") from error


def _amount(stage: Stage, values: Mapping[str, float]) -> int:
    """How much a run has to do so as to take its time, after what the warm-up did."""
    case = stage.case
    if not stage.tool.tests[case.test].counted:
        return case.seconds
    return max(case.connections, int(min(MOST_COUNTED, values["per_s"] * case.seconds)))


def _describe_case(case: Case, systems: Sequence[str]) -> dict[str, Any]:
    return {
        "key": case.key, "title": case.title, "tool": case.tool, "test": case.test,
        "topology": case.topology, "placement": case.placement,
        "connections": case.connections, "size": case.size,
        "headline": TOOLS[case.tool].tests[case.test].headline,
        "systems": list(systems),
    }  # fmt: skip


def _collect_orphans() -> None:
    """What a run that was killed has left: its processes, cgroups, folders and its bypass."""
    for group in orphans():
        if group.path.name.startswith("bench."):
            group.end_all(GRACE)
    sweep()
    sweep_folders()
    sweep_bypasses()

"""A run: every system has its turn at every case in every round, in another order each time."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sockproxy.bench import interrupt, machine
from sockproxy.bench.ability import find_off, why_no_case, why_no_system
from sockproxy.bench.describe import describe_case, describe_system, new_document
from sockproxy.bench.interrupt import Undo
from sockproxy.bench.load import Tool
from sockproxy.bench.peers import Peer
from sockproxy.bench.result.metrics import digits_for, recorded
from sockproxy.bench.result.summary import noise, summarize
from sockproxy.bench.scenario import RUN_OVERHEAD, Case, Scenario
from sockproxy.bench.stage import Stage, staged
from sockproxy.bench.subject import Subject, end_bypass, sweep_bypasses
from sockproxy.bench.systems import PLAIN, System, resolve
from sockproxy.bench.workplace import find_program, sweep_folders, version
from sockproxy.cgroup import Cgroup, create_owned, orphans, sweep
from sockproxy.errors import SockproxyError, Unsupported
from sockproxy.proof.ask import find_out
from sockproxy.proof.mechanisms import MECHANISMS

__all__ = ["Campaign"]

MOST_COUNTED = 2_000_000  # transactions
GRACE = 1.0  # seconds that what is left in a cgroup has to end
Progress = Callable[[str], None]


class Campaign:
    """One run of a scenario.

    slack: seconds that a client may take beyond twice the length of a run.
    progress: receives a line for each step.
    document: what was found so far, in the shape of result/document.py; whole after run(), and
    worth keeping after any error.
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
        self.document = new_document(scenario, seed)

    def run(self) -> None:
        """Measure every case of the scenario, and fill `document`.

        Raises SockproxyError when nothing can be measured, Interrupted when a signal ends it.
        """
        if find_program("nft") is None:
            raise Unsupported("find nft", hint="apt-get install nftables")
        _collect_orphans()
        # Else a proxy would be measured while it relays, until doctor has found out.
        find_out(MECHANISMS, self._progress)
        self._off = find_off(self._systems.values())
        try:
            self._warn_if_busy()
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

    def _warn_if_busy(self) -> None:
        busy = machine.busy_share(0.5)
        if busy > machine.BUSY:
            self.document["warnings"].append(
                f"{busy:.0%} of the CPUs were busy with other things before it began"
            )

    def _describe_systems(self) -> None:
        versions = self.document["machine"]["versions"]
        for tool in dict.fromkeys(case.tool for case in self._scenario.cases):
            for program, argv in tool.versions.items():
                versions[program] = version(argv)
        self.document["systems"] += map(describe_system, self._systems.values())

    # -- one case -------------------------------------------------------------------------

    def _play(self, case: Case, group: Cgroup) -> None:
        tool = case.tool
        after = self._left - len(case.systems) * (self._scenario.rounds + 1)
        systems, off = self._able(case, tool)
        shown = [key for key in case.systems if key in off or self._systems[key] in systems]
        self.document["cases"].append(describe_case(case, shown))
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
        """The systems that can be measured in this case, and the keys of those whose mechanism is
        off on this kernel. Each system that cannot be measured is noted as skipped."""
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

    def _start(self, stage: Stage, systems: Sequence[System], undo: Undo) -> dict[str, Subject]:
        """The systems whose proxies could be started, by key.

        The proxies run for the whole case: an idle one costs the other systems nothing, and none
        is measured cold.
        """
        ready = {}
        for number, system in enumerate(systems):
            try:
                with _ours():
                    subject = stage.raise_up(system, number)
                    undo.callback(subject.close)
                    self._note_why_not(subject)
                ready[system.key] = subject
            except SockproxyError as error:
                self._left -= 1  # the warm-up that it does not have
                self._drop(stage.case, system.key, 0, str(error))
        return ready

    def _rounds(self, stage: Stage, ready: dict[str, Subject]) -> None:
        amounts: dict[str, int] = {}
        for key in sorted(ready, key=lambda key: key != PLAIN):
            first = self._turn(stage, ready, key, 0, stage.tool.warm_up(stage.case))
            if first is not None:
                amounts[key] = _amount(stage, first["values"])
                self._choose_digits(stage.tool, first["values"])
            elif key == PLAIN and stage.tool.untried:
                for other in list(ready):
                    ready.pop(other).close()
                    self._skip(stage.case, other, "plain TCP has failed, with nothing in between")
                return
        for number in range(1, self._scenario.rounds + 1):
            for order, key in enumerate(self._random.sample(list(ready), len(ready))):
                sample = self._turn(stage, ready, key, number, amounts[key])
                if sample is not None:
                    place = {"case": stage.case.key, "system": key, "round": number}
                    self.document["samples"].append({**place, "order": order, **sample})
                    self._tell(stage.case, self._systems[key], sample["values"])

    def _choose_digits(self, tool: Tool, values: Mapping[str, float]) -> None:
        """How a tool's own metrics are shown: only a first figure says how large they are."""
        for key in tool.metrics.keys() & values.keys():
            self.document["metrics"][key]["digits"] = digits_for(values[key])

    def _turn(
        self, stage: Stage, ready: dict[str, Subject], key: str, number: int, amount: int
    ) -> dict[str, Any] | None:
        """One run of the client through a system; its sample, or None when it failed.

        A system that has failed is taken out of `ready`: it has no more turns in this case.
        """
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
                why = f"{why}; {words}" if words and words not in why else why
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

    def _note_why_not(self, subject: Subject) -> None:
        if reason := subject.why_not():
            for entry in self.document["systems"]:
                if entry["key"] == subject.system.key:
                    entry["why_not"] = reason

    def _tell(self, case: Case, system: System, values: Mapping[str, float]) -> None:
        metric = recorded(self.document["metrics"])[case.tool.tests[case.test].headline]
        figure = f"{metric.show(values[metric.key])} {metric.title}"
        spent = time.monotonic() - self._began
        each = spent / self._runs if self._runs > 3 else case.seconds + RUN_OVERHEAD
        left = int(max(0, self._left) * each)
        self._progress(
            f"{self._runs}/{self._runs + max(0, self._left)}, {left // 60}m{left % 60:02}s left:"
            f" {case.load}, {system.title}: {figure}"
        )


@contextlib.contextmanager
def _ours() -> Iterator[None]:
    """Turn every error inside into a SockproxyError, which fails one run and not the campaign: a
    full disk, say, or a tool's output that its reader did not expect."""
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
    """Seconds for a run, or transactions of a counted test: as many as fill the seconds of the
    case at the rate that the warm-up had (`values`)."""
    case = stage.case
    if not stage.tool.tests[case.test].counted:
        return case.seconds
    return max(case.connections, int(min(MOST_COUNTED, values["per_s"] * case.seconds)))


def _collect_orphans() -> None:
    """Remove what runs that were killed have left: processes, cgroups, folders, a bypass."""
    for group in orphans():
        if group.path.name.startswith("bench."):
            group.end_all(GRACE)
    sweep()
    sweep_folders()
    sweep_bypasses()

"""All suites, part by part: plain, then in each mode; what differs is run again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.suites import ground, record
from tests.suites.compare import count, differing, histories, judge
from tests.suites.errors import SuiteError
from tests.suites.kinds import ABORTED, THE_RUN, Outcomes
from tests.suites.record import Record
from tests.suites.sources import fetch, working_folder
from tests.suites.table import CHECKOUT, PLAIN, Mode, Suite

__all__ = ["BUILD", "Campaign"]

BUILD = CHECKOUT / "build" / "suites"
Say = Callable[[str], None]


@dataclass(slots=True)
class Campaign:
    """What is to be run, and how. again: how often a test that differs is run again, plain and in
    the mode."""

    chosen: Sequence[tuple[Suite, Sequence[str]]]
    modes: Sequence[Mode]
    again: int
    out: Path
    say: Say
    update: bool = False

    def run(self, told: Record) -> None:
        """Run all, and put what was found into `told`, part by part: it is whole at any moment.

        Raises SuiteError and SockproxyError; what signals raise ends what runs.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        for suite, patterns in self.chosen:
            self._suite(suite, patterns, told)
        told["whole"] = True

    def _suite(self, suite: Suite, patterns: Sequence[str], told: Record) -> None:
        tree, version = None, suite.how.version()
        if suite.source:
            built = fetch(suite.source, suite.how, BUILD / suite.name, self.update, self.say)
            tree, version = Path(built.tree), built.version
        parts = suite.wanted(suite.how.parts(tree), patterns)
        if not parts:
            raise SuiteError(f"{suite.name} has no such part", "see 'python -m tests.suites list'")
        found: Record = {
            "name": suite.name,
            "title": suite.title,
            "version": version,
            "left_out": dict(suite.left_out),
            "parts": [],
        }
        told["suites"].append(found)
        for part in parts:
            found["parts"].append(_Part(self, suite, part, tree).run())


@dataclass(slots=True)
class _Part:
    """One part of a suite."""

    campaign: Campaign
    suite: Suite
    name: str
    tree: Path | None
    runs: int = 0

    def run(self) -> Record:
        plain, seconds, _ = self._once(PLAIN, None)
        told = record.part(self.name, plain, seconds)
        for mode in self.campaign.modes:
            other, seconds, did = self._once(mode.name, mode.options)
            told["modes"][mode.name] = {
                "counts": count(other),
                "seconds": round(seconds),
                "did": did,
                "unlike": self._again(mode, plain, other),
            }
        return told

    def _again(self, mode: Mode, plain: Outcomes, other: Outcomes) -> list[Record]:
        """For each test that differs: its outcomes in all runs, and the judgement on them."""
        names = differing(plain, other)
        if not names:
            return []
        self._say(f"{mode.name}: {len(names)} not as plain: {', '.join(names[:3])}; again")
        plains, others = [plain], [other]
        for _ in range(self.campaign.again):
            plains.append(self._once(PLAIN, None)[0])
            others.append(self._once(mode.name, mode.options)[0])
        before, after = histories(names, plains), histories(names, others)
        unlike = [
            {
                "test": name,
                "verdict": judge(before[name], after[name]),
                PLAIN: before[name],
                "other": after[name],
            }
            for name in names
        ]
        for each in unlike:
            self._say(f"{mode.name}: {each['verdict']}: {each['test']}")
        return unlike

    def _once(
        self, mode: str, options: Sequence[str] | None
    ) -> tuple[Outcomes, float, dict[str, int]]:
        """One run: the outcomes of its tests, its seconds, and the bypass's counters."""
        how, suite = self.suite.how, self.suite
        self.runs += 1
        place = f"{suite.name}-{self.name}-{self.runs}-{mode}".replace("/", "-").replace(" ", "-")
        log = self.campaign.out / f"{place}.log"
        with working_folder(self.tree) as folder:
            argv = how.argv(self.name, suite.left_out)
            ran = ground.run(argv, folder, log, suite.minutes, options)
            outcomes = how.outcomes(folder, ran.output)
        if not ran.in_time:
            outcomes[THE_RUN] = ABORTED
        said = ", ".join(f"{number} {what}" for what, number in count(outcomes).items())
        if ran.did is not None:
            said += (
                f"; {ran.did['paired']} paired, {ran.did['bypassed_messages']} messages past TCP"
            )
        self._say(f"{mode}: {said}; {ran.seconds:.0f} s")
        return outcomes, ran.seconds, ran.did or {}

    def _say(self, text: str) -> None:
        self.campaign.say(f"{self.suite.name}/{self.name}: {text}")

"""The campaign: rounds in which the systems take turns, in another order each time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.demo.load import MEASURES, Load, Measure
from bench.demo.machine import busy_seconds
from bench.demo.network import Network
from bench.demo.systems import TITLES, Moved, System
from sockproxy.errors import SockproxyError

__all__ = ["Campaign", "Sample"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One run. Shares are 0 to 1, times seconds; cpu is of the whole machine, per `work`.

    moved: by a sockproxy, in bytes; None for the others.
    redirected: connections that the nat rules sent to the proxy.
    """

    round: int
    measure: str
    system: str
    argv: tuple[str, ...]
    values: dict[str, float]
    busy: float
    wall: float
    redirected: int
    moved: Moved | None
    raw: Any


class Campaign:
    """Runs every measure for every system, `rounds` times.

    cpus: the two that are used.
    progress: receives one line for each run.
    """

    def __init__(
        self,
        network: Network,
        load: Load,
        systems: Sequence[System],
        *,
        rounds: int,
        seconds: int,
        cpus: tuple[int, int],
        seed: int,
        progress: Callable[[str], None],
    ) -> None:
        self._network, self._load, self._systems = network, load, systems
        self._rounds, self._seconds, self._cpus = rounds, seconds, cpus
        self._random = random.Random(seed)
        self._progress = progress
        self._transactions: dict[str, int] = {}
        self._moved: dict[str, Moved | None] = {}

    def run(self) -> list[Sample]:
        """All samples, in the order in which they were taken."""
        self._warm_up()
        samples: list[Sample] = []
        total = self._rounds * len(MEASURES) * len(self._systems)
        for number in range(1, self._rounds + 1):
            for measure in MEASURES:
                for system in self._random.sample(self._systems, len(self._systems)):
                    sample = self._take(number, measure, system)
                    samples.append(sample)
                    self._progress(_line(len(samples), total, sample))
        return samples

    def _warm_up(self) -> None:
        """Run each system once, to learn how many connections it makes in a second."""
        measure = next(each for each in MEASURES if each.test == "TCP_CRR")
        for system in self._systems:
            self._progress(f"warm-up, {TITLES[system.key]}")
            self._place(measure, system)
            self._transactions[system.key] = self._load.crr_transactions(
                measure, self._cpus[measure.client], self._seconds
            )
            self._moved[system.key] = system.moved()

    def _place(self, measure: Measure, system: System) -> None:
        """Pin the servers, and put the proxy in between."""
        self._load.servers[measure.program].pin(self._cpus[measure.server])
        if system.server is not None:
            system.server.check()
            system.server.pin(self._cpus[measure.proxy])
        self._network.redirect(system.redirect)

    def _take(self, number: int, measure: Measure, system: System) -> Sample:
        self._place(measure, system)
        began, busy = time.monotonic(), busy_seconds()
        result = self._load.run(
            measure, self._cpus[measure.client], self._seconds, self._transactions[system.key]
        )
        busy, wall = busy_seconds() - busy, time.monotonic() - began
        redirected = self._network.redirected()
        if bool(system.redirect) != bool(redirected):
            raise SockproxyError(
                f"{TITLES[system.key]}: {redirected} connections were redirected to a proxy"
            )
        return Sample(
            round=number,
            measure=measure.key,
            system=system.key,
            argv=result.argv,
            values={**result.values, "cpu": busy / result.work},
            busy=busy,
            wall=wall,
            redirected=redirected,
            moved=self._count(system),
            raw=result.raw,
        )

    def _count(self, system: System) -> Moved | None:
        """What a sockproxy has moved since it was last asked."""
        before, now = self._moved[system.key], system.moved()
        self._moved[system.key] = now
        return now - before if now is not None and before is not None else None


def _line(number: int, total: int, sample: Sample) -> str:
    rate = sample.values.get("per_s")
    figure = f"{sample.values['gbit_per_s']:.2f} Gbit/s" if rate is None else f"{rate:,.0f}/s"
    title = next(each.title for each in MEASURES if each.key == sample.measure)
    return f"{number:2}/{total}  {title}: {TITLES[sample.system]} {figure}"

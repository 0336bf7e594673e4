"""Run probes, each in a process of its own, and say what follows for each mechanism."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sockproxy.controller.doctor.probe import MECHANISMS, Finding, Probe
from sockproxy.controller.doctor.probes import PROBES
from sockproxy.errors import SockproxyError

__all__ = ["Verdict", "examine", "verdicts"]

SECONDS = 8.0  # that a probe may take; one that takes longer counts as failed


@dataclass(slots=True)
class Verdict:
    """Of one mechanism: the failed probes that it needs, and what it does not do here."""

    failed: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)

    @property
    def on(self) -> bool:
        """Whether it can be used, with its limits if it has any."""
        return not self.failed


def examine(probes: Sequence[Probe] = PROBES, seconds: float = SECONDS) -> Iterator[Finding]:
    """Try each: one that hangs or crashes has failed."""
    context = multiprocessing.get_context("fork")
    for probe in probes:
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_attempt, args=(probe, sender))
        child.start()
        sender.close()
        try:
            if receiver.poll(seconds):
                yield Finding(probe, *receiver.recv())
            else:
                yield Finding(probe, False, f"no result in {seconds:g} s")
        except EOFError:
            child.join()
            yield Finding(probe, False, f"the probe crashed ({child.exitcode})")
        finally:
            if child.is_alive():
                child.join(0.5)
                child.kill()
            child.join()
            receiver.close()


def _attempt(probe: Probe, pipe: Any) -> None:
    """In a process of its own: try, and send (ok, found, hint, log)."""
    try:
        pipe.send((True, probe.run(), None, None))
    except SockproxyError as error:
        pipe.send((False, error.failure, error.hint, error.log))
    except Exception as error:  # whatever breaks is a finding, not a crash of doctor
        pipe.send((False, str(error) or type(error).__name__, None, None))


def verdicts(findings: Iterable[Finding]) -> dict[str, Verdict]:
    """What follows for each mechanism."""
    found = {mechanism: Verdict() for mechanism in MECHANISMS}
    for finding in findings:
        if finding.ok:
            continue
        for mechanism in finding.probe.needed_by:
            found[mechanism].failed.append(finding.probe.name)
        for mechanism, limit in finding.probe.limits.items():
            found[mechanism].limits.append(limit)
    return found

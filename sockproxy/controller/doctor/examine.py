"""Run probes, each in a process of its own, and say what follows for each mechanism."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sockproxy.controller.doctor.probe import Finding, Kind, Probe
from sockproxy.controller.doctor.probes import PROBES
from sockproxy.controller.doctor.sockets import have_patience, tidy
from sockproxy.controller.mechanisms import MECHANISMS
from sockproxy.controller.verdicts import Verdict
from sockproxy.errors import PermissionDenied, SockproxyError
from sockproxy.net.namespace import Namespace

__all__ = ["PATIENCE", "examine", "verdicts"]

PATIENCE = 5.0  # seconds that a probe may take; one that takes longer counts as failed


def examine(probes: Sequence[Probe] = PROBES, seconds: float = PATIENCE) -> Iterator[Finding]:
    """Try each: one that hangs or crashes has failed.

    What concerns only mechanisms that are off already is not tried: behind a gate it could
    crash the kernel, and elsewhere it would fail for the same reason, or hang.
    """
    off: dict[str, str] = {}
    try:
        for probe in probes:
            concerned = [*probe.needed_by, *probe.limits]
            if probe.kind > Kind.GATE and concerned and off.keys() >= set(concerned):
                yield Finding(probe, False, f"see '{off[concerned[0]]}'", tried=False)
                continue
            finding = _try(probe, seconds)
            if not finding.ok:
                off = dict.fromkeys(probe.needed_by, probe.name) | off
            yield finding
    finally:
        tidy()


def _try(probe: Probe, seconds: float) -> Finding:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_attempt, args=(probe, seconds, sender))
    child.start()
    sender.close()
    try:
        if receiver.poll(seconds):
            return Finding(probe, *receiver.recv())
        return Finding(probe, False, f"no result in {seconds:g} s")
    except EOFError:
        child.join()
        return Finding(probe, False, f"the probe crashed ({child.exitcode})")
    finally:
        if child.is_alive():
            child.join(0.5)
            child.kill()
        child.join()
        receiver.close()


def _attempt(probe: Probe, seconds: float, pipe: Any) -> None:
    """In a process of its own: try, and send (ok, found, hint, log)."""
    have_patience(seconds)
    try:
        with _apart() if probe.kind > Kind.GATE else contextlib.nullcontext():
            found = probe.run()
        pipe.send((True, found, None, None))
    except SockproxyError as error:
        pipe.send((False, error.failure, error.hint, error.log))
    except Exception as error:  # whatever breaks is a finding, not a crash of doctor
        pipe.send((False, str(error) or type(error).__name__, None, None))


def _apart() -> contextlib.AbstractContextManager[None]:
    """A network namespace of its own, where the machine's firewall and ports do not matter."""
    try:
        return Namespace().entered()
    except PermissionDenied:
        return contextlib.nullcontext()  # 'capabilities' tells it


def verdicts(findings: Iterable[Finding]) -> dict[str, Verdict]:
    """What follows for each mechanism."""
    failed = [finding for finding in findings if finding.tried and not finding.ok]
    return {name: _verdict(name, failed) for name in MECHANISMS}


def _verdict(mechanism: str, failed: Sequence[Finding]) -> Verdict:
    probes = [each.probe for each in failed if mechanism in each.probe.limits]
    return Verdict(
        {each.probe.name: each.found for each in failed if mechanism in each.probe.needed_by},
        tuple(probe.limits[mechanism] for probe in probes),
    )

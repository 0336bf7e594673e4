"""Run probes, each in a process of its own, and say what follows for each mechanism."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace

from sockproxy.cgroup import create_owned
from sockproxy.doctor.apart import apart
from sockproxy.doctor.outcome import Outcome, crashed, failed
from sockproxy.doctor.probe import Finding, Kind, Probe
from sockproxy.doctor.probes import PROBES
from sockproxy.doctor.sockets import have_patience, tidy
from sockproxy.errors import PermissionDenied, SockproxyError
from sockproxy.net.namespace import Namespace
from sockproxy.proof.mechanisms import MECHANISMS
from sockproxy.proof.proof import Proof

__all__ = ["PASSES", "PATIENCE", "TOO_LATE", "examine", "latest", "proofs"]

PATIENCE = 5.0  # seconds that a probe may take, at first
ALL = 3  # times that: what a pass over all of them may take
PASSES = 3  # how often a probe is tried that found nothing out
PAUSE = 1.0  # second before the second pass; twice as long before the third
ENOUGH = 60.0  # seconds for all passes together; or two passes, if that is more
TOO_LATE = "others had taken all the time"


def examine(
    probes: Sequence[Probe] = PROBES, seconds: float = PATIENCE, passes: int = 1
) -> Generator[Finding, None, None]:
    """Try each: one that hangs or crashes is ended, and no other suffers.

    What was not found out is tried again in the next pass, with twice the patience: of the
    findings of one probe the last one holds. What concerns only mechanisms that are off already
    is not tried: behind a gate it could crash the kernel, and elsewhere it would fail for the
    same reason, or hang.
    """
    examination = _Examination(time.monotonic() + max(ENOUGH, 2 * ALL * seconds))
    patience = seconds
    try:
        for number in range(passes):
            probes = yield from examination.look(probes, patience)
            pause = PAUSE * 2**number
            if not probes or number + 1 == passes or examination.left() < pause:
                break
            time.sleep(pause)
            patience *= 2
    finally:
        with contextlib.suppress(OSError):  # no room for a process: the next doctor does it
            apart(max(seconds, PATIENCE), tidy)  # that is not what a hasty caller hastens


class _Examination:
    """What one pass knows from those before it. end: when no probe begins any more."""

    def __init__(self, end: float) -> None:
        self._end = end
        self._off: dict[str, str] = {}
        """Mechanism to the probe that has switched it off."""
        self._stalled: set[str] = set()
        """Probes that ran out of time on a machine that was not busy."""

    def left(self) -> float:
        """Seconds until the end."""
        return self._end - time.monotonic()

    def look(
        self, probes: Sequence[Probe], seconds: float
    ) -> Generator[Finding, None, list[Probe]]:
        """Try each once, for so many seconds; those of which nothing was found out."""
        again = []
        end = min(self._end, time.monotonic() + ALL * seconds)
        for probe in probes:
            if why := self._pointless(probe):
                yield Finding(probe, False, f"see '{why}'", tried=False)
                continue
            left = end - time.monotonic()
            if left > 0:
                found = self._try(probe, seconds, min(seconds, left))
            else:
                found = Outcome(False, TOO_LATE, conclusive=False, lasts=False)
            if not found.conclusive:
                again.append(probe)
            elif not found.ok:
                self._off = dict.fromkeys(probe.needed_by, probe.name) | self._off
            yield Finding(
                probe, found.ok, found.found, found.hint, found.log,
                conclusive=found.conclusive, lasts=found.lasts,
            )  # fmt: skip
        return again

    def _pointless(self, probe: Probe) -> str:
        """The probe that has switched off all that this one concerns; "" when none has."""
        concerned = [*probe.needed_by, *probe.limits]
        if probe.kind > Kind.GATE and concerned and self._off.keys() >= set(concerned):
            return self._off[concerned[0]]
        return ""

    def _try(self, probe: Probe, seconds: float, left: float) -> Outcome:
        try:
            answer, busy = apart(left, _attempt, probe, seconds)
        except OSError as error:
            return failed(error)
        if isinstance(answer, int):
            return crashed(answer)
        found = answer or Outcome(
            False, f"no result in {left:.3g} s", conclusive=False, lasts=False, late=True
        )
        assert isinstance(found, Outcome)
        if not found.late:
            # What it saw was true, and yet may have come of all that was slow beside it: it
            # holds, but not until the boot.
            doubtful = busy and not found.ok and probe.kind >= Kind.DOES and probe.needed_by
            return replace(found, lasts=False) if doubtful else found
        if busy or left < seconds:
            self._stalled.discard(probe.name)
            return replace(found, found=f"{found.found}: this machine is busy")
        if probe.name not in self._stalled:
            self._stalled.add(probe.name)
            return found
        # With twice the patience, and nobody else to blame: that is the kernel.
        return Outcome(False, f"{found.found}, again, and the machine is not busy")


def _attempt(probe: Probe, seconds: float) -> Outcome:
    have_patience(seconds)
    try:
        with _private() if probe.kind > Kind.LOADS else contextlib.nullcontext():
            return Outcome(True, probe.run())
    except Exception as error:  # whatever breaks is a finding, not a crash of doctor
        return failed(error)


@contextlib.contextmanager
def _private() -> Iterator[None]:
    """A network namespace and a cgroup of its own, where the machine's firewall, its ports and
    its bypasses do not matter; as far as they are to be had."""
    with contextlib.ExitStack() as inside:
        with contextlib.suppress(PermissionDenied):  # 'capabilities' tells it
            inside.enter_context(Namespace().entered())
        with contextlib.suppress(SockproxyError):
            group = create_owned("probe")
            inside.callback(group.remove)
            inside.enter_context(group.entered())
        yield


def latest(findings: Iterable[Finding]) -> list[Finding]:
    """Of each probe the finding that holds."""
    return list({each.probe.name: each for each in findings}.values())


def proofs(findings: Iterable[Finding]) -> dict[str, Proof]:
    """What follows for each mechanism."""
    failed = [each for each in latest(findings) if each.tried and not each.ok]
    return {name: _proof(name, failed) for name in MECHANISMS}


def _proof(mechanism: str, failed: Sequence[Finding]) -> Proof:
    needed = [each for each in failed if mechanism in each.probe.needed_by]
    # What was not found out is taken for a limit, as it does no harm to have too many.
    limiting = [each for each in failed if mechanism in each.probe.limits]
    off = [each for each in needed if each.conclusive]
    return Proof(
        {each.probe.name: each.found for each in off},
        {each.probe.name: each.probe.limits[mechanism] for each in limiting},
        {each.probe.name: each.found for each in needed if not each.conclusive},
        any(map(_lasts, off)) if off else all(map(_lasts, [*needed, *limiting])),
    )


def _lasts(finding: Finding) -> bool:
    # What the machine lacks may be there a minute later; the kernel stays until the boot.
    return finding.lasts and finding.probe.kind > Kind.HAS

"""Run probes, each in a process of its own, again and with more patience where need be."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

from sockproxy.cgroup import create_owned
from sockproxy.doctor.apart import apart
from sockproxy.doctor.outcome import Outcome, crashed, failed
from sockproxy.doctor.probe import Finding, Kind, Probe
from sockproxy.doctor.probes import PROBES
from sockproxy.doctor.trial import Trial, tidy
from sockproxy.errors import PermissionDenied, SockproxyError
from sockproxy.native import load_native
from sockproxy.net.namespace import Namespace

__all__ = ["PASSES", "PATIENCE", "TOO_LATE", "examine"]

PATIENCE = 5.0  # seconds that a probe may take, at first
ALL = 3  # times that: what a pass over all of them may take
PASSES = 3  # how often a probe is tried that found nothing out
PAUSE = 1.0  # second before the second pass; twice as long before the third
ENOUGH = 60.0  # seconds for all passes together; or two passes, if that is more
TOO_LATE = "no time was left for it: other probes had taken all"


def examine(
    probes: Sequence[Probe] = PROBES, seconds: float = PATIENCE, passes: int = 1
) -> Generator[Finding, None, None]:
    """Try each probe: one that hangs or crashes is ended, and no other suffers.

    seconds: how long each may take, in the first pass. passes: how often a probe is tried that
    found nothing out, with twice the patience each time.

    Yields a finding for each try; of one probe the last one holds. A probe of mechanisms that are
    all off already is not tried: behind a gate it could crash the kernel, and elsewhere it would
    fail for the same reason, or hang.

    Raises Unsupported where the native worker does not load: nothing would be found out of the
    kernel then.
    """
    load_native()
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
            apart(max(seconds, PATIENCE), tidy)  # with time enough, also for a hasty caller


class _Examination:
    """What one pass over the probes knows from those before it.

    end: the moment of time.monotonic() after which no probe begins.
    """

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
        """Try each probe once, for so many seconds; returns those that found nothing out."""
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
                probe,
                found.ok,
                found.found,
                found.hint,
                found.log,
                conclusive=found.conclusive,
                lasts=found.lasts,
            )
        return again

    def _pointless(self, probe: Probe) -> str:
        """The name of the probe that has switched off all that `probe` concerns; "" if none."""
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
            # A failure on a busy machine may have come of what was slow beside it: it holds now,
            # but not until the boot.
            doubtful = busy and not found.ok and probe.kind >= Kind.DOES and probe.needed_by
            return replace(found, lasts=False) if doubtful else found
        if busy or left < seconds:
            self._stalled.discard(probe.name)
            return replace(found, found=f"{found.found}: this machine is busy")
        if probe.name not in self._stalled:
            self._stalled.add(probe.name)
            return found
        # A second stall, with twice the patience and nobody else to blame, is the kernel's.
        return Outcome(False, f"{found.found}, again, and the machine is not busy")


def _attempt(probe: Probe, seconds: float) -> Outcome:
    """Run a probe, in the process that is for it alone."""
    try:
        with (
            _private() if probe.kind > Kind.LOADS else contextlib.nullcontext(),
            contextlib.closing(Trial(seconds)) as trial,
        ):
            return Outcome(True, probe.run(trial))
    except Exception as error:  # whatever breaks is a finding, not a crash of doctor
        return failed(error)


@contextlib.contextmanager
def _private() -> Iterator[None]:
    """A network namespace and a cgroup for one probe, as far as they are to be had.

    In them the machine's firewall, its ports and its bypasses do not matter.
    """
    with contextlib.ExitStack() as inside:
        with contextlib.suppress(PermissionDenied):  # 'capabilities' tells it
            inside.enter_context(Namespace().entered())
        with contextlib.suppress(SockproxyError):
            group = create_owned("probe")
            inside.callback(group.remove)
            inside.enter_context(group.entered())
        yield

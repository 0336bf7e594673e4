"""Doctor as a prover: examines some mechanisms for the process that has started it.

    python -m sockproxy.doctor PARENT MECHANISM...

proof/protocol.py has what it is given and what it prints. It ends with PARENT.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType

from sockproxy.doctor import PASSES, PROBES, Finding, examine, proofs
from sockproxy.doctor.examine import TOO_LATE
from sockproxy.proof.ask import keep, known_proof
from sockproxy.proof.proof import Proof
from sockproxy.proof.protocol import Said, parse_arguments, to_line
from sockproxy.proof.record import kept_at
from sockproxy.syscalls import end_with_parent

TURN = 75.0  # seconds to wait for another doctor's lock; that doctor may be stopped (SIGSTOP)
POLL = 0.1  # seconds between two tries to take the lock
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main() -> None:
    """Print what is known already, then what was found after each pass over the probes."""
    parent, mechanisms = parse_arguments(sys.argv)
    for number in ENDING:
        signal.signal(number, _leave)
    end_with_parent(signal.SIGTERM)
    if os.getppid() != parent:  # who asked ended before the death signal was set
        return
    with _alone():
        found = {each: known for each in mechanisms if (known := known_proof(each)) is not None}
        _say(Said(proofs=found))
        if left := set(mechanisms) - found.keys():
            _examine(left)


def _leave(number: int, _frame: FrameType | None) -> None:
    """End, and have what probes made removed; a second signal does not cut that short."""
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


def _examine(mechanisms: set[str]) -> None:
    probes = [each for each in PROBES if mechanisms & {*each.needed_by, *each.limits}]
    findings: dict[str, Finding] = {}
    told: dict[str, Proof] = {}
    with contextlib.closing(examine(probes, passes=PASSES)) as run:
        for finding in run:
            findings[finding.probe.name] = finding
            if not finding.conclusive and finding.found != TOO_LATE:
                _say(Said(f"not found out yet: {finding.probe.name}: {finding.found}"))
            if len(findings) < len(probes):
                continue  # the first pass goes on
            found = {
                name: each for name, each in proofs(findings.values()).items() if name in mechanisms
            }
            if found != told:
                told = found
                keep(found)
                _say(Said(proofs=found))
            if all(each.known and each.lasts for each in found.values()):
                return


def _say(said: Said) -> None:
    print(to_line(said), flush=True)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Hold the lock of doctors: services that start at once wait for the first one's findings."""
    place = kept_at()
    try:
        flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        lock = os.open(place.with_suffix(".lock"), flags, 0o600) if place else None
    except OSError:
        lock = None  # a read-only file system: then each process examines for itself
    try:
        if lock is not None:
            _take(lock)
        yield
    finally:
        if lock is not None:
            os.close(lock)


def _take(lock: int) -> None:
    end = time.monotonic() + TURN
    said = False
    while time.monotonic() < end:
        try:
            # Not flock(): a probe that hangs in the kernel would hold it after our end.
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if not said:
                _say(Said("another process examines this kernel: waiting for what it finds"))
                said = True
            time.sleep(POLL)
        else:
            return


if __name__ == "__main__":
    main()

"""Ask whether a mechanism may be used here, and why not; has it proved where nobody did so far.

What is proved holds for this process to its end. What could not be found out is asked again
after a minute.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from sockproxy.proof import record
from sockproxy.proof.examination import ENOUGH, Examination
from sockproxy.proof.mechanisms import together
from sockproxy.proof.proof import Proof

__all__ = [
    "find_out",
    "forget",
    "keep",
    "known_proof",
    "learn",
    "proof_of",
    "silent",
    "why_not_proved",
]

UNKNOWN_HOLDS = 60.0  # seconds in which one process does not ask again

_known: dict[str, tuple[Proof, float]] = {}
"""What this process knows, by mechanism, each until a moment of time.monotonic()."""


def known_proof(mechanism: str) -> Proof | None:
    """What is known of a mechanism without an examination; None where nothing is."""
    if (known := _remembered(mechanism)) is None:
        learn(record.read())
        known = _remembered(mechanism)
    return known


def proof_of(mechanism: str) -> Proof:
    """What holds for a mechanism; examines what nobody examined since the last boot."""
    if (known := known_proof(mechanism)) is None:
        find_out(together(mechanism))
        known = _remembered(mechanism)
    return known or _no_answer("no answer")


def why_not_proved(mechanism: str) -> str:
    """Why a mechanism must not be used here, as a phrase; "" when it may."""
    found = proof_of(mechanism)
    if found.on:
        return ""
    if not found.known:
        return f"could not find out whether {mechanism} is safe here: {found.why_not}"
    where = "on this kernel" if found.lasts else "for now"
    if found.lacks_rights:
        where = "for want of rights"
    return f"{mechanism} is off {where}: {found.why_not}"


def silent(line: str) -> None:
    """Tell nobody: for find_out(), attach() and run()."""


def find_out(mechanisms: Iterable[str], tell: Callable[[str], None] = silent) -> None:
    """Have examined those mechanisms that are not known yet; a minute is the most it takes.

    It is done in a child process, as probes fork, which a program with threads must not.

    tell: receives a line for each thing that takes long.
    """
    if not (asked := [each for each in mechanisms if known_proof(each) is None]):
        return
    tell("finding out what this kernel can do, once for each boot")
    why = "no answer"
    try:
        with contextlib.closing(Examination(asked)) as examination:
            for said in examination.said_within(ENOUGH):
                if said.told:
                    tell(said.told)
                learn(said.proofs)
            why = examination.why_no_answer()
    except OSError as error:
        why = f"it cannot be started: {error.strerror}"
    learn({each: _no_answer(why) for each in asked if _remembered(each) is None})


def learn(proofs: Mapping[str, Proof]) -> None:
    """Know these from now on: what was found out for good, the rest for a minute."""
    soon = time.monotonic() + UNKNOWN_HOLDS
    for name, each in proofs.items():
        if each.known or name not in _known or not _known[name][0].known:
            _known[name] = (each, float("inf") if each.known else soon)


def keep(proofs: Mapping[str, Proof]) -> Path | None:
    """Keep those that last until the next boot, and forget what this process knew of any.

    Returns the file; None if nothing could be kept.
    """
    place = record.write(proofs)
    if place is not None:
        forget()
    return place


def forget() -> None:
    """Know nothing but what is kept in the file."""
    _known.clear()


def _remembered(mechanism: str) -> Proof | None:
    found, until = _known.get(mechanism, (None, 0.0))
    return found if time.monotonic() < until else None


def _no_answer(why: str) -> Proof:
    return Proof(unknown={"doctor": why}, lasts=False)

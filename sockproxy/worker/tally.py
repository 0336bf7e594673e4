"""What connections have in common, counted: ``native/tally.h``. Cheap, however many there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sockproxy.native import ffi, load_native
from sockproxy.worker.told import STATES, text

__all__ = ["Reason", "Tally", "read_tally", "sum_of_tallies"]

MOST_REASONS = 64

Reason = tuple[str, str, str]
"""What of a connection ("forward", "backward", "past"), its state ("" where it has none), why."""
_KINDS = ("outcome", "forward", "backward", "past")


@dataclass(frozen=True, slots=True)
class Tally:
    """lives, sizes: how many that have ended are in each of classes.py. lived, carried: sums, in
    seconds and in bytes. outcomes: of those that have ended. reasons: of those that live."""

    lives: tuple[int, ...]
    sizes: tuple[int, ...]
    lived: float
    carried: int
    outcomes: Counter[str]
    reasons: Counter[Reason]


def read_tally(worker: Any) -> Tally:
    """Of one native worker, from any thread."""
    ended, live = ffi.new("struct tally *"), ffi.new("struct reason[]", MOST_REASONS)
    load_native().worker_tally(worker, ended, live, MOST_REASONS)
    outcomes: Counter[str] = Counter()
    for each in ended.outcomes:
        if each.count:
            outcomes[text(each.why)] += each.count
    reasons: Counter[Reason] = Counter()
    for each in live:
        if each.count:
            what = _KINDS[each.what]
            state = STATES[each.state] if what in ("forward", "backward") else ""
            reasons[what, state, text(each.why)] += each.count
    return Tally(
        tuple(ended.lives), tuple(ended.sizes), ended.lived / 1e9, ended.carried, outcomes, reasons
    )


def sum_of_tallies(tallies: Iterable[Tally]) -> Tally:
    """All of them together, at least one."""
    all_of = list(tallies)
    outcomes: Counter[str] = Counter()
    reasons: Counter[Reason] = Counter()
    for each in all_of:
        outcomes += each.outcomes
        reasons += each.reasons
    return Tally(
        tuple(map(sum, zip(*(each.lives for each in all_of), strict=True))),
        tuple(map(sum, zip(*(each.sizes for each in all_of), strict=True))),
        sum(each.lived for each in all_of),
        sum(each.carried for each in all_of),
        outcomes,
        reasons,
    )

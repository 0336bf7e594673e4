"""Outcomes of tests in two kinds of runs, and the judgement on a test that differs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.suites.kinds import Outcomes

__all__ = ["DIFFERS", "NOT_AGAIN", "UNSTEADY", "count", "differing", "histories", "judge"]

MISSING = "not run"
DIFFERS = "differs"
NOT_AGAIN = "not again"
UNSTEADY = "unsteady"


def differing(plain: Outcomes, other: Outcomes) -> list[str]:
    """The tests whose outcomes are not the same, or that only one of the two runs has."""
    return sorted(
        name for name in plain.keys() | other.keys() if plain.get(name) != other.get(name)
    )


def histories(names: Iterable[str], runs: Sequence[Outcomes]) -> dict[str, list[str]]:
    """For each test, its outcomes in all of the runs, in order."""
    return {name: [each.get(name, MISSING) for each in runs] for name in names}


def judge(plain: Sequence[str], other: Sequence[str]) -> str:
    """The judgement on a test whose first outcomes differed, by its outcomes in all runs.

    plain, other: its outcomes without and with a bypass. DIFFERS: an outcome that plain never had
    came again, or the test always has an outcome that plain seldom had. NOT_AGAIN: such an outcome
    came in the first run alone. UNSTEADY: plain has both outcomes as well.
    """
    strange = [each not in plain for each in other]
    if any(strange):
        return DIFFERS if any(strange[1:]) or len(other) == 1 else NOT_AGAIN
    always = len(set(other)) == 1
    return DIFFERS if always and 2 * plain.count(other[0]) < len(plain) else UNSTEADY


def count(outcomes: Outcomes) -> dict[str, int]:
    """How many tests have each outcome."""
    found = list(outcomes.values())
    return {each: found.count(each) for each in sorted(set(found))}

"""Two outcomes of each test, and what to think of it when they differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.suites.kinds import Outcomes

__all__ = ["DIFFERS", "NOT_AGAIN", "UNSTEADY", "count", "differing", "histories", "judge"]

MISSING = "not run"
DIFFERS = "differs"
NOT_AGAIN = "not again"
UNSTEADY = "unsteady"


def differing(plain: Outcomes, other: Outcomes) -> list[str]:
    """The tests whose outcome is not the same, those that one of the two has not run included."""
    return sorted(
        name for name in plain.keys() | other.keys() if plain.get(name) != other.get(name)
    )


def histories(names: Iterable[str], runs: Sequence[Outcomes]) -> dict[str, list[str]]:
    """Of each test, its outcome in each of the runs."""
    return {name: [each.get(name, MISSING) for each in runs] for name in names}


def judge(plain: Sequence[str], other: Sequence[str]) -> str:
    """What a test does that differed in the first run of each, by all of its runs.

    DIFFERS: it did again what plain it never did, or does always what plain it does seldom.
    NOT_AGAIN: it did that in the first run, and no more. UNSTEADY: plain it does both as well.
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

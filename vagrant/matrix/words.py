"""Words and tables for the matrix' results, which the terminal and docs/kernels.md share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vagrant.matrix.results import Record

__all__ = ["BOTH", "RELAY", "counts", "is_on", "markdown_table", "mechanisms", "numbers", "proof"]

RELAY = "relay"
# To doctor it is none: what is needed for it is what these need.
BOTH = {"short-circuit": ("splice", "bypass")}
# What doctor calls a mechanism, and what the conformance table does.
CONFORMANCE = {
    "splice": "splice",
    "bypass": "bypass",
    "splice, verdict only": "verdict-only",
    "short-circuit": "short-circuit",
    RELAY: "relay",
}


def mechanisms(records: Iterable[Record]) -> list[str]:
    """Every mechanism that any record knows, in doctor's order."""
    return list(dict.fromkeys(name for record in records for name in record["mechanisms"]))


def is_on(record: Record, mechanism: str) -> bool:
    """Whether doctor found all on that a mechanism of BOTH needs."""
    return all(proof(record, each) not in ("-", "off") for each in BOTH[mechanism])


def proof(record: Record, mechanism: str) -> str:
    """What doctor proved of a mechanism: on, on with limits, or off."""
    said = record["mechanisms"].get(mechanism)
    if said is None:
        return "-"
    if not said["on"]:
        return "off"
    return "on, with limits" if said["limits"] else "on"


def counts(record: Record, mechanism: str) -> str:
    """How many cells of a mechanism in the conformance table have each status, in words."""
    name = CONFORMANCE.get(mechanism)
    if name is None:
        return "-"
    found = (record["conformance"] or {"counts": {}})["counts"].get(name)
    return (
        ", ".join(f"{number} {status}" for status, number in found.items()) if found else "not run"
    )


def numbers(record: Record) -> str:
    """passed/failed/off, of all mechanisms together."""
    if not record["conformance"]:
        return "not run"
    found = record["conformance"]["counts"].values()
    return "/".join(
        str(sum(each.get(key, 0) for each in found)) for key in ("passed", "failed", "off")
    )


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Its lines."""
    shown = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in [list(head), *shown]]
    return [lines[0], "|---" * len(head) + "|", *lines[1:]]

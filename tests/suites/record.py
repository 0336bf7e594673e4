"""The record of a run: a small document, kept in git."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.suites.compare import DIFFERS, NOT_AGAIN, count
from tests.suites.errors import SuiteError
from tests.suites.kinds import FAILED, PASSED, Outcomes
from tests.suites.table import PLAIN, Mode

__all__ = ["RESULTS", "Record", "begin", "load", "part", "recorded", "save", "total", "why_failed"]

Record = dict[str, Any]
SCHEMA = 1
RESULTS = Path(__file__).with_name("results")


def begin(modes: Sequence[Mode], again: int, selection: Sequence[str]) -> Record:
    """The record of a campaign that has just begun. again: how often a test that differs is run
    again."""
    return {
        "schema": SCHEMA,
        "kind": "suites",
        "release": os.uname().release,
        "distribution": platform.freedesktop_os_release().get("PRETTY_NAME", ""),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "modes": [asdict(each) for each in modes],
        "again": again,
        "selection": " ".join(selection) or None,
        "whole": False,
        "suites": [],
    }


def part(name: str, plain: Outcomes, seconds: float) -> Record:
    """The record of one part of a suite that was run plain; the caller fills in `modes`."""
    return {
        "name": name,
        "tests": len(plain),
        "failed": sorted(each for each, outcome in plain.items() if outcome == FAILED),
        PLAIN: {"counts": count(plain), "seconds": round(seconds)},
        "modes": {},
    }


def total(parts: Iterable[Record], mode: str) -> dict[str, int]:
    """Totals of some parts: tests, those that differ by judgement, and the bypass's counters."""
    sums: dict[str, int] = {}
    for each in parts:
        found = each["modes"].get(mode)
        if found is None:
            continue
        judgements = [test["verdict"] for test in found["unlike"]]
        told = {"tests": each["tests"], **{it: judgements.count(it) for it in set(judgements)}}
        for name, number in [*told.items(), *found["did"].items()]:
            sums[name] = sums.get(name, 0) + number
    return sums


def why_failed(record: Record) -> list[str]:
    """Why a run has not passed, each in a line; nothing if it has."""
    lines = [] if record["whole"] else ["it did not come to its end"]
    for suite in record["suites"]:
        if not any(PASSED in each[PLAIN]["counts"] for each in suite["parts"]):
            lines.append(f"{suite['name']}: no test passed, so nothing is shown")
    for mode in record["modes"]:
        if not mode["counts"]:
            continue
        parts = [each for suite in record["suites"] for each in suite["parts"]]
        sums = total(parts, mode["name"])
        if number := sums.get(DIFFERS, 0) + sums.get(NOT_AGAIN, 0):
            lines.append(f"{mode['name']}: {number} tests did what plain they never did")
        if not sums.get("bypassed_messages"):
            lines.append(f"{mode['name']}: nothing was bypassed, so nothing is shown")
    return lines


def save(record: Record, path: Path) -> Path:
    """Write a record to its file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return path


def load(path: Path) -> Record:
    """Read a record from its file. Raises SuiteError for a file that is no record."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SuiteError(f"{path}: {error}") from None
    if record.get("kind") != "suites" or record.get("schema") != SCHEMA:
        raise SuiteError(f"{path} is no record of the suites, schema {SCHEMA}")
    return dict(record)


def recorded(folder: Path = RESULTS) -> list[Record]:
    """All records that are kept in git, in the order of their kernels."""
    return [load(path) for path in sorted(folder.glob("*.json"))]

"""What one run found, read from the files that guest.sh left: a small document, kept in git."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vagrant.matrix.errors import MatrixError
from vagrant.matrix.kernels import Kernel

__all__ = ["FAILED", "Record", "compare", "load", "read_run", "save", "warnings"]

Record = dict[str, Any]
SCHEMA = 1
FAILED = ("failed", "timed out", "crashed")  # outcomes; the other is "passed"
TAIL = 15  # lines of the console that tell how a guest ended
WARNING = re.compile(
    r"BUG: |WARNING: |Oops|general protection|[Rr][Cc][Uu].*(?:stall|detected)|"
    r"blocked for more than|hung task|Kernel panic|KASAN|possible (?:recursive|circular) locking"
)
# Emulation is slow; these say only that, and nothing of the code that ran.
HARMLESS = re.compile(r"clocksource|TSC|perf: interrupt took|\[Firmware Bug\]|microcode")


def read_run(kernel: Kernel, out: Path, in_time: bool, version: str, seconds: float) -> Record:
    """The record of a run whose files are in `out`.

    version: of the Debian package, "" for the machine's own kernel.
    """
    statuses = _statuses(_text(out / "status"))
    doctor, conformance = _json(out / "doctor.json"), _json(out / "conformance.json")
    found = warnings(_text(out / "dmesg") or _text(out / "console"))
    why = _why(statuses, in_time, doctor, conformance, found)
    outcome = "passed"
    if why:
        outcome = "failed" if "end" in statuses else "crashed"
    if not in_time:
        outcome = "timed out"
    return {
        "schema": SCHEMA,
        "kind": "matrix",
        "name": kernel.name,
        "release": _text(out / "uname").strip() or None,
        "package": version or None,
        "suite": kernel.suite or None,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "emulated": not kernel.is_host,
        "refuses": kernel.refuses or None,
        "scale": kernel.scale,
        "outcome": outcome,
        "why": why,
        "mechanisms": doctor.get("mechanisms", {}),
        "failed_probes": [
            {"name": check["name"], "found": check["found"]}
            for check in doctor.get("checks", [])
            if not check["ok"] and check.get("tried", True)
        ],
        "conformance": _counted(conformance),
        "warnings": found,
        "seconds": round(seconds),
        "console": _text(out / "console").splitlines()[-TAIL:]
        if outcome in ("crashed", "timed out")
        else [],
    }


def _why(
    statuses: dict[str, int], in_time: bool, doctor: Record, conformance: Record, found: list[str]
) -> str:
    """Why the run has not passed, in a line; "" when it has."""
    if not in_time:
        return f"time was up after: {', '.join(statuses) or 'nothing'}"
    if "end" not in statuses:
        return f"ended after: {', '.join(statuses) or 'nothing'}"
    if found:
        return "the kernel warned"
    # 1 and 2 say that something is off, which is a finding; but there must be a report.
    if statuses.get("doctor") not in (0, 1, 2) or not doctor:
        return f"doctor: exit status {statuses.get('doctor')}, no report"
    if "tests" not in statuses:
        return ""
    if not conformance:
        return f"tests: exit status {statuses['tests']}, no report"
    return f"tests: exit status {statuses['tests']}" if statuses["tests"] else ""


def compare(record: Record, before: Record) -> None:
    """A kernel on which a mechanism is off that was on before has not passed. The machine's own
    kernel may be of another build than it was then."""
    was_on = {name for name, each in before.get("mechanisms", {}).items() if each["on"]}
    now_off = {name for name, each in record["mechanisms"].items() if not each["on"]}
    if record["outcome"] == "passed" and record["emulated"] and was_on & now_off:
        lost = ", ".join(sorted(was_on & now_off))
        record["outcome"], record["why"] = "failed", f"off, and on with {before['release']}: {lost}"


def warnings(text: str) -> list[str]:
    """Lines of a kernel log that no run may leave."""
    return [
        line.strip()
        for line in text.splitlines()
        if WARNING.search(line) and not HARMLESS.search(line)
    ]


def _counted(document: Record) -> Record | None:
    """Of conformance.json: per mechanism the number of cells by status, and those that failed or
    were not run."""
    if not document:
        return None
    counts: dict[str, Counter[str]] = {}
    failed, not_run = [], []
    for section in document["sections"]:
        for row in section["rows"]:
            for mechanism, cell in row.items():
                if mechanism == "name":
                    continue
                status = cell["status"]
                counts.setdefault(mechanism, Counter())[status] += 1
                told = {"row": row["name"], "mechanism": mechanism}
                if status == "failed":
                    failed.append({**told, "tests": cell.get("failed", [])})
                elif status in ("not run", "skipped"):
                    not_run.append({**told, "reason": cell.get("reason", "")})
    return {
        "counts": {name: dict(sorted(each.items())) for name, each in counts.items()},
        "failed": failed,
        "not_run": not_run,
    }


def save(record: Record, folder: Path) -> Path:
    """Write a record as FOLDER/NAME.json."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{record['name']}.json"
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return path


def load(path: Path) -> Record:
    """Read a record from its file. Raises MatrixError for a file that is no record."""
    record = _json(path)
    if record.get("kind") != "matrix" or record.get("schema") != SCHEMA:
        raise MatrixError(f"{path} is no record of the matrix, schema {SCHEMA}")
    return record


def _statuses(text: str) -> dict[str, int]:
    """Lines of a step's name and its exit status."""
    found = re.findall(r"^(\w+) (\d+)$", text, re.M)
    return {name: int(status) for name, status in found}


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""


def _json(path: Path) -> Record:
    """The JSON document of a file; an empty one when the file is not there or was cut short."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

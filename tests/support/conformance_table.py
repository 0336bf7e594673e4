"""The rows of the conformance table: read, filled in with what came of the tests, and shown."""

from __future__ import annotations

import os
import tomllib
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase

SCHEMA = 1
# The last is none of the kernel's: what is left where those are off.
MECHANISMS = ("splice", "verdict-only", "bypass", "short-circuit", "relay")
DEFAULTS = {"relay": "in user space there is nothing of a sockmap"}
STATUSES = ("passed", "failed", "skipped", "off", "not run", "not applicable")


@dataclass(frozen=True)
class Row:
    """One behaviour. cells: for each mechanism patterns of test ids, or a reason."""

    section: str
    name: str
    cells: dict

    def patterns(self, mechanism):
        cell = self.cells[mechanism]
        return [] if isinstance(cell, str) else cell

    def all_patterns(self):
        return [each for mechanism in MECHANISMS for each in self.patterns(mechanism)]


def read_rows(path):
    """Every row of the file, with the defaults of its section. Raises ValueError."""
    data = tomllib.loads(path.read_text())
    reasons, rows = data.get("reasons", {}), []
    for section in data["section"]:
        for row in section["row"]:
            cells = {}
            for mechanism in MECHANISMS:
                cell = row.get(mechanism, section.get(mechanism, DEFAULTS.get(mechanism)))
                if not cell:
                    raise ValueError(f"the row {row['name']!r} says nothing of {mechanism}")
                cells[mechanism] = reasons.get(cell, cell) if isinstance(cell, str) else cell
            if unknown := row.keys() - {"name", *MECHANISMS}:
                raise ValueError(f"the row {row['name']!r} has {', '.join(sorted(unknown))}")
            rows.append(Row(section["name"], row["name"], cells))
    names = Counter(row.name for row in rows)
    if twice := [name for name, count in names.items() if count > 1]:
        raise ValueError(f"more than one row has the name {twice[0]!r}")
    return rows


def fits(nodeid, pattern):
    """Whether a test is one that the pattern means: with * and ?, and with all its
    parameters where the pattern names none."""
    pattern = pattern.replace("[", "[[]")  # of parameters, not of fnmatch
    return fnmatchcase(nodeid, pattern) or fnmatchcase(nodeid.partition("[")[0], pattern)


def files(rows):
    """The files of all tests."""
    patterns = [each for row in rows for name in MECHANISMS for each in row.patterns(name)]
    return sorted({pattern.partition("::")[0] for pattern in patterns})


def document(rows, outcomes, off):
    """All that is known, as conformance.json has it.

    outcomes: test id to something with a `status` and a `why`.
    """
    system = os.uname()
    sections = []
    for row in rows:
        if not sections or sections[-1]["name"] != row.section:
            sections.append({"name": row.section, "rows": []})
        cells = {name: cell(row, name, outcomes, off) for name in MECHANISMS}
        sections[-1]["rows"].append({"name": row.name, **cells})
    return {
        "schema": SCHEMA,
        "kind": "conformance",
        "kernel": system.release,
        "version": system.version,
        "machine": system.machine,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "scale": os.environ.get("SOCKPROXY_SCALE") or "1",
        "sections": sections,
    }


def cell(row, mechanism, outcomes, off):
    """One cell: its status, how many tests, and why or which of them failed."""
    if isinstance(row.cells[mechanism], str):
        return {"status": "not applicable", "tests": 0, "reason": row.cells[mechanism]}
    patterns = row.patterns(mechanism)
    tests = {
        nodeid: outcome
        for nodeid, outcome in outcomes.items()
        if any(fits(nodeid, each) for each in patterns)
    }
    told = {"tests": len(tests)}
    if mechanism in off:
        return {"status": "off", **told, "reason": off[mechanism]}
    for status in ("failed", "not run", "skipped"):
        found = {nodeid: each.why for nodeid, each in tests.items() if each.status == status}
        if not found:
            continue
        if status == "failed":
            return {"status": status, **told, "failed": sorted(found)}
        whys = sorted({why for why in found.values() if why})
        return {"status": status, **told, "reason": "; ".join(whys)}
    return {"status": "passed" if tests else "not run", **told}


# -- shown -------------------------------------------------------------------------------


def all_cells(document):
    """(row's name, mechanism, cell) for every cell."""
    for section in document["sections"]:
        for row in section["rows"]:
            for mechanism in MECHANISMS:
                yield row["name"], mechanism, row[mechanism]


def summary(document):
    """A few lines for a terminal."""
    counts = Counter((name, each["status"]) for _, name, each in all_cells(document))
    rows = sum(len(section["rows"]) for section in document["sections"])
    yield f"{rows} rows on Linux {document['kernel']}"
    yield " " * 14 + "".join(f"{status:>16}" for status in STATUSES)
    for name in MECHANISMS:
        yield f"{name:14}" + "".join(f"{counts[name, status]:16}" for status in STATUSES)
    for row, mechanism, each in all_cells(document):
        if each["status"] == "failed":
            yield f"failed: {row} ({mechanism}): {', '.join(each['failed'])}"


def markdown(document):
    """The table for people."""
    reasons: list[str] = []
    lines = [
        f"# Conformance on Linux {document['kernel']}",
        "",
        ", ".join(document[each] for each in ("version", "machine", "date")),
        f"with SOCKPROXY_SCALE={document['scale']}.",
    ]
    for section in document["sections"]:
        lines += ["", f"## {section['name']}", "", f"| behaviour | {' | '.join(MECHANISMS)} |"]
        lines.append("|---" * (1 + len(MECHANISMS)) + "|")
        for row in section["rows"]:
            shown = [_shown(row[name], reasons) for name in MECHANISMS]
            lines.append("| " + " | ".join([row["name"], *shown]) + " |")
    if reasons:
        lines += ["", "## Reasons", ""]
        lines += [f"{number}. {reason}" for number, reason in enumerate(reasons, 1)]
    return "\n".join(lines) + "\n"


def _shown(each, reasons):
    """A cell: its status, and the number of tests, or of the reason below the tables."""
    if each["status"] == "passed":
        return f"passed ({each['tests']})"
    if each["status"] == "failed":
        return "**failed**: " + ", ".join(f"`{name}`" for name in each["failed"])
    reason = each.get("reason")
    if not reason:
        return each["status"]
    if reason not in reasons:
        reasons.append(reason)
    return f"{each['status']} [{reasons.index(reason) + 1}]"

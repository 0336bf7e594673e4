"""docs/kernels.md, made from the recorded results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sockproxy.doctor import PROBES
from vagrant.matrix.kernels import CHECKOUT, RESULTS, Kernel, read_table
from vagrant.matrix.results import Record, load
from vagrant.matrix.words import BOTH, RELAY, counts, is_on, markdown_table, mechanisms, proof

__all__ = ["DOCUMENT", "page", "recorded"]

DOCUMENT = CHECKOUT / "docs" / "kernels.md"
HEAD = """\
<!-- Made by `python -m vagrant.matrix document` from vagrant/results; do not edit. -->

# What works on which kernel

`python -m vagrant.matrix run --record` boots these kernels, runs `sockproxy doctor` and the
conformance tests on them, and this page shows what it found.
[vagrant/README.md](../vagrant/README.md) tells how. Under emulation the tests do less of their
usual work, and say nothing about speed.
"""


def recorded(folder: Path = RESULTS) -> list[Record]:
    """All records, in the table's order; first those that are not in the table any more."""
    order = [kernel.name for kernel in read_table()]
    records = [load(path) for path in sorted(folder.glob("*.json"))]
    return sorted(
        records, key=lambda each: order.index(each["name"]) if each["name"] in order else -1
    )


def page(records: Sequence[Record], kernels: Sequence[Kernel]) -> str:
    """The whole page."""
    lines = [HEAD, *_overview(records)]
    for record in records:
        lines += ["", f"## {record['release'] or record['name']}", "", *_kernel(record)]
    if probes := list(_probes(records)):
        lines += ["", "## Probes that failed", *probes]
    tried = {record["name"] for record in records}
    if untried := [kernel.name for kernel in kernels if kernel.name not in tried]:
        lines += ["", "## Not tried", "", f"No result is recorded of: {', '.join(untried)}."]
    return "\n".join(lines) + "\n"


def _overview(records: Sequence[Record]) -> Iterator[str]:
    names = mechanisms(records)
    rows = [
        [
            record["name"],
            record["release"] or "-",
            *(proof(record, name) for name in names),
            record["outcome"],
            record["date"][:10],
        ]
        for record in records
    ]
    if rows:
        yield from markdown_table(["kernel", "release", *names, "outcome", "date"], rows)


def _kernel(record: Record) -> Iterator[str]:
    where = "under emulation" if record["emulated"] else "on the machine itself"
    package = (
        f"Debian {record['suite']}'s package {record['package']}, " if record["package"] else ""
    )
    yield f"{package}{record['date'][:10]}, {where}: **{record['outcome']}**."
    if record.get("refuses"):
        yield "Its bpf(2) refused to everybody what hardened builds of it refuse: fentry, fexit,"
        yield "fmod_ret and LSM programs, and iterators over maps (tests/support/refusing.py)."
    yield f"SOCKPROXY_SCALE is {record['scale']:g}."
    if record.get("selection"):
        yield f"Not all of the table was run, but what `{record['selection']}` selects."
    if record["why"]:
        yield f"Why: {record['why']}."
    rows = []
    for name, said in record["mechanisms"].items():
        detail = said["limits"]
        if not said["on"]:
            failed = ", ".join(said["failed"])
            detail = [f"failed: {failed}" if failed else f"not known: {', '.join(said['unknown'])}"]
        rows.append([name, proof(record, name), "; ".join(detail), counts(record, name)])
    if rows:
        for name, parts in BOTH.items():
            needs = f"needs {' and '.join(parts)}"
            rows.append([name, "on" if is_on(record, name) else "off", needs, counts(record, name)])
        rows.append([RELAY, "on", "", counts(record, RELAY)])
        yield ""
        yield from markdown_table(["mechanism", "proof", "limits, or why", "conformance"], rows)
    conformance = record["conformance"]
    if conformance is None:
        yield ""
        yield "The conformance tests were not run."
        return
    lists = (
        {"Failed": "failed"}
        if record.get("selection")
        else {"Failed": "failed", "Not run": "not_run"}
    )
    for title, key in lists.items():
        if conformance[key]:
            yield ""
            yield f"{title}:"
            yield ""
            for cell in conformance[key]:
                told = cell.get("reason") or ", ".join(
                    f"`{test}`" for test in cell.get("tests", [])
                )
                yield f"- {cell['row']} ({cell['mechanism']})" + (f": {told}" if told else "")
    if record["warnings"]:
        yield from ["", "The kernel warned:", "", "```", *record["warnings"], "```"]


def _probes(records: Sequence[Record]) -> Iterator[str]:
    """Each probe that failed anywhere: where, what was found, and the probe's own words."""
    known = {probe.name: probe for probe in PROBES}
    for name in dict.fromkeys(
        each["name"] for record in records for each in record["failed_probes"]
    ):
        yield from ["", f"### {name}", ""]
        if name in known:
            # Its first paragraph; the rest is for `doctor --explain`.
            yield from [
                known[name].about.split("\n\n")[0],
                "",
                f"What to do: {known[name].hint}.",
                "",
            ]
        for record in records:
            for each in record["failed_probes"]:
                if each["name"] == name:
                    yield f"- {record['release']}: {each['found']}"

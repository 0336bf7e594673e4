"""A document as sections, tables and sentences, for any kind of page.

Figures, ratios and judgements are those of the document's summary; only ratios to the best other
proxy, which no scenario can name, are computed here.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sockproxy.bench.report.case import section
from sockproxy.bench.report.facts import Facts
from sockproxy.bench.report.matrix import matrices
from sockproxy.bench.report.parts import Program, Report
from sockproxy.bench.report.questions import questions
from sockproxy.bench.report.terms import TERMS
from sockproxy.bench.report.words import command_line, count, duration, listed, when
from sockproxy.bench.result.document import Document
from sockproxy.bench.result.stats import LEAST_PAIRS

__all__ = ["build"]


def build(document: Document) -> Report:
    """The page's contents, of a document as load() returns it."""
    facts = Facts(document)
    scenario = facts.scenario
    return Report(
        title=scenario["title"] or scenario["name"],
        subtitle=f"Result of the benchmark {scenario['name']}, {when(document)}",
        warnings=tuple(_warnings(facts)),
        questions=tuple(questions(facts)),
        matrices=tuple(matrices(facts)),
        machine=tuple(_machine(document)),
        method=tuple(_method(facts)),
        sections=tuple(section(facts, number) for number in range(len(facts.cases))),
        programs=tuple(_program(each) for each in document["systems"]),
        reading=tuple(_reading(facts)),
        settings=tuple(_settings(document["machine"])),
        reproduce=_reproduce(facts),
        footer=f"Made by sockproxy {document['sockproxy']}.",
    )


# -- what to know first -------------------------------------------------------------------


def _warnings(facts: Facts) -> Iterator[str]:
    document = facts.document
    if not document["complete"]:
        yield "Not complete: the run was ended before its time, and what came later is missing."
    yield from document["warnings"]
    for system in document["systems"]:
        if system["why_not"]:
            yield f"{system['title']} was not accelerated: {system['why_not']}"
    if failures := document["failures"]:
        yield f"{len(failures)} failed: " + _places(facts, failures)
    if skipped := document["skipped"]:
        yield f"{len(skipped)} skipped: " + _places(facts, skipped)


def _places(facts: Facts, entries: Sequence[Mapping[str, Any]]) -> str:
    """The systems of these entries, each with the numbers of its cases, which say why."""
    numbers = {case["key"]: number + 1 for number, case in enumerate(facts.cases)}
    found: dict[str, list[int]] = {}
    for entry in entries:
        name = facts.title(entry["system"]) if entry["system"] else "all systems"
        found.setdefault(name, []).append(numbers.get(entry["case"], 0))
    return "; ".join(
        f"{name} in {'case' if len(at) == 1 else 'cases'} {listed([str(n) for n in at])}"
        for name, at in found.items()
    )


def _machine(document: Document) -> Iterator[tuple[str, str]]:
    machine = document["machine"]
    yield "Kernel", f"Linux {machine['kernel']}, {machine['architecture']}"
    cpu = f"{machine['cpu']}, " if machine["cpu"] else ""
    yield "Processor", f"{cpu}{count(machine['cpus'] or 1, 'CPU')}"
    yield "Virtual machine", "yes" if machine["virtual"] else "no"
    yield "Frequency governor", machine["governor"] or "not told by the kernel"
    versions = [f"{name}: {text}" for name, text in machine.get("versions", {}).items() if text]
    if versions:
        yield "Tools", "; ".join(versions)


def _method(facts: Facts) -> Iterator[tuple[str, str]]:
    document, scenario = facts.document, facts.scenario
    each = f", runs of {scenario['seconds']} s" if "seconds" in scenario else ""
    yield "Rounds", f"{scenario['rounds']}{each}, after a warm-up that does not count"
    yield "Order", f"drawn anew in every round, with the seed {scenario['seed']}"
    yield "Confidence", f"{facts.confidence} intervals"
    runs = count(len(document["samples"]), "run")
    yield "Measured", f"{runs} in {duration(document['took'])}, began {when(document)}"
    names = [facts.title(key) for key in scenario["against"]]
    yield "Compared with", listed(names) or "nothing"


# -- what comes after the cases -----------------------------------------------------------


def _program(system: Mapping[str, Any]) -> Program:
    return Program(
        title=system["title"],
        about=system.get("about") or "",
        command=command_line(system["argv"] or []),
        version=system["version"] or "",
        why_not=system["why_not"] or "",
        config=system.get("config") or "",
    )


def _reading(facts: Facts) -> Iterator[tuple[str, str]]:
    values = {
        "confidence": facts.confidence,
        "chance": round(100 - facts.scenario["confidence"] * 100),
        "least": LEAST_PAIRS,
    }
    for name, text in TERMS.items():
        yield name, text.format_map(values)


def _settings(machine: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for part in ("sysctls", "knobs"):
        found = machine.get(part) or {}
        pairs = found.items() if isinstance(found, Mapping) else ((each, "") for each in found)
        for name, value in pairs:
            yield f"net/{name}" if part == "sysctls" else str(name), str(value)


def _reproduce(facts: Facts) -> str:
    scenario = facts.scenario
    words = ["--seed", str(scenario["seed"]), "--rounds", str(scenario["rounds"])]
    if "seconds" in scenario:
        words += ["--seconds", str(scenario["seconds"])]
    case = facts.cases[0] if len(facts.cases) == 1 else {}
    if "commands" in case and case["tool"] == scenario["name"]:
        # These dollars are for us, and not for the shell.
        return shlex.join(["sockproxy", "bench", "run", *_typed(facts, case), *words])
    return command_line(["sockproxy", "bench", "run", scenario["name"], *words])


def _typed(facts: Facts, case: Mapping[str, Any]) -> Iterator[str]:
    """The options that have made the case's tool, and chosen its systems."""
    commands, metric = case["commands"], facts.metrics[case["headline"]]
    for name in ("server", "client", "figure", "each_second", "port", "ready"):
        if commands[name] is not None:
            yield from (f"--{name.replace('_', '-')}", str(commands[name]))
    yield from ("--unit", metric.title)
    if not metric.more_is_better:
        yield "--less-is-better"
    for system in case["systems"]:
        if system not in facts.scenario["against"]:
            yield from ("--system", system)

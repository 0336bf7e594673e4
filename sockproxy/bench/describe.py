"""What a run's document says before anything is measured: scenario, machine, systems, cases."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import sockproxy
from sockproxy.bench import machine
from sockproxy.bench.load import Commands
from sockproxy.bench.result.document import KIND, SCHEMA, Document
from sockproxy.bench.result.metrics import METRICS, Metric
from sockproxy.bench.scenario import Case, Scenario
from sockproxy.bench.systems import System
from sockproxy.bench.workplace import version

__all__ = ["describe_case", "describe_system", "new_document"]

CONFIDENCE = 0.95  # of the intervals of all ratios


def new_document(scenario: Scenario, seed: int) -> Document:
    """The document of a run that begins now: all its parts, and no figure yet."""
    return {
        "schema": SCHEMA,
        "kind": KIND,
        "sockproxy": sockproxy.__version__,
        "began": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "took": 0.0,
        "complete": False,
        "scenario": {
            "name": scenario.name,
            "title": scenario.title,
            "seed": seed,
            "rounds": scenario.rounds,
            "seconds": scenario.seconds,
            "confidence": CONFIDENCE,
            "against": list(scenario.against),
        },
        "machine": {**machine.describe(), "versions": {}, "sysctls": {}},
        "systems": [],
        "cases": [],
        "samples": [],
        "failures": [],
        "skipped": [],
        "metrics": {key: asdict(metric) for key, metric in _metrics(scenario).items()},
        "warnings": [],
        "summary": [],
    }


def _metrics(scenario: Scenario) -> dict[str, Metric]:
    """Those that all results have, and those of the scenario's own tools."""
    found = dict(METRICS)
    for case in scenario.cases:
        found |= case.tool.metrics
    return found


def describe_system(system: System) -> dict[str, Any]:
    """An entry of `systems`. Runs the peer's program, for its version."""
    peer = system.peer
    return {
        "key": system.key,
        "title": system.title,
        "about": system.about,
        "argv": list(peer.argv) if peer else None,
        "config": peer.config[1] if peer and peer.config else None,
        "version": version(peer.version_command()) if peer else None,
        "why_not": "",
    }


def describe_case(case: Case, systems: Sequence[str]) -> dict[str, Any]:
    """An entry of `cases`. systems: the keys of those that are shown in it."""
    described = {
        "key": case.key,
        "title": case.title,
        "tool": case.tool.name,
        "test": case.test,
        "topology": case.topology,
        "placement": case.placement,
        "control": case.control,
        "connections": case.connections,
        "size": case.size,
        "headline": case.tool.tests[case.test].headline,
        "systems": list(systems),
    }
    if isinstance(case.tool, Commands):
        described["commands"] = case.tool.described()
    return described

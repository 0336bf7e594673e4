"""Doctor's way with probes that fail, hang or crash."""

from __future__ import annotations

import os
import time

import pytest

from sockproxy.controller.doctor import PROBES, Probe, examine, verdicts
from sockproxy.controller.doctor.probe import BYPASS, ENROL, SPLICE, Kind
from sockproxy.errors import SockproxyError


def fail():
    raise SockproxyError("it is not there", hint="do this", log="verifier says no")


def probe(name, run, *needed_by, **limits):
    return Probe(name, run, "hint", Kind.DOES, needed_by, limits)


TRIED = (
    probe("good", lambda: "found", SPLICE, BYPASS),
    probe("failing", fail, BYPASS),
    probe("broken", lambda: str(1 // 0), ENROL),
    probe("hanging", lambda: time.sleep(60) or "", ENROL),
    probe("crashing", lambda: os._exit(9), ENROL),
    probe("limiting", fail, **{SPLICE: "slow"}),
)


def test_each_way_to_fail_is_a_finding():
    findings = list(examine(TRIED, seconds=0.5))
    assert [finding.ok for finding in findings] == [True, False, False, False, False, False]
    assert [finding.found for finding in findings] == [
        "found", "it is not there", "integer division or modulo by zero",
        "no result in 0.5 s", "the probe crashed (9)", "it is not there",
    ]  # fmt: skip
    assert findings[1].log == "verifier says no"
    assert [finding.advice for finding in findings] == [
        "", "do this", "hint", "hint", "hint", "do this",
    ]  # fmt: skip
    found = verdicts(findings)
    assert {name: each.failed for name, each in found.items() if each.failed} == {
        BYPASS: ["failing"], ENROL: ["broken", "hanging", "crashing"],
    }  # fmt: skip
    assert found[SPLICE].on
    assert found[SPLICE].limits == ["slow"]


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_every_probe_explains_itself_and_has_a_consequence(probe):
    assert len(probe.about) > 40
    assert probe.hint
    assert probe.needed_by or probe.limits

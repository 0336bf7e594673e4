"""Doctor's way with probes that fail, hang or crash."""

from __future__ import annotations

import os
import time

import pytest

from sockproxy.controller.doctor import PROBES, Kind, Probe, examine, verdicts
from sockproxy.controller.doctor.versions import parse, within
from sockproxy.controller.mechanisms import BYPASS, ENROL, OBSERVE, SPLICE, VERDICT_ONLY
from sockproxy.errors import SockproxyError


def fail():
    raise SockproxyError("it is not there", hint="do this", log="verifier says no")


def probe(name, run, *needed_by, **limits):
    return Probe(name, run, "hint", Kind.DOES, needed_by, limits)


TRIED = (
    probe("good", lambda: "found", SPLICE, BYPASS),
    probe("failing", fail, BYPASS),
    probe("broken", lambda: str(1 // 0), ENROL),
    probe("hanging", lambda: time.sleep(60) or "", ENROL, OBSERVE),
    probe("crashing", lambda: os._exit(9), ENROL, VERDICT_ONLY),
    probe("pointless", lambda: time.sleep(60) or "", ENROL, OBSERVE),
    probe("limiting", fail, **{SPLICE: "slow"}),
)


def test_each_way_to_fail_is_a_finding():
    findings = list(examine(TRIED, seconds=0.5))
    assert [finding.ok for finding in findings] == [True, *[False] * 6]
    assert [finding.found for finding in findings] == [
        "found", "it is not there", "integer division or modulo by zero",
        "no result in 0.5 s", "the probe crashed (9)", "see 'broken'", "it is not there",
    ]  # fmt: skip
    assert findings[1].log == "verifier says no"
    assert [finding.advice for finding in findings] == [
        "", "do this", "hint", "hint", "hint", "", "do this",
    ]  # fmt: skip
    found = verdicts(findings)
    assert {name: list(each.failed) for name, each in found.items() if each.failed} == {
        BYPASS: ["failing"], ENROL: ["broken", "hanging", "crashing"],
        OBSERVE: ["hanging"], VERDICT_ONLY: ["crashing"],
    }  # fmt: skip
    assert found[BYPASS].why_off == "failing: it is not there"
    assert found[ENROL].why_off.endswith("(and 2 more)")
    assert found[SPLICE].on
    assert found[SPLICE].limits == ("slow",)


def test_what_a_gate_switches_off_is_not_tried():
    gate = Probe("gate", fail, "update", Kind.GATE, (SPLICE,))
    crash = probe("crash", lambda: os._exit(9), SPLICE)
    other = probe("other", lambda: "found", SPLICE, BYPASS)
    findings = list(examine([gate, crash, other]))
    assert [each.found for each in findings] == ["it is not there", "see 'gate'", "found"]
    assert [each.tried for each in findings] == [True, False, True]
    found = verdicts(findings)
    assert list(found[SPLICE].failed) == ["gate"]
    assert found[BYPASS].on


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_every_probe_explains_itself_and_has_a_consequence(probe):
    assert len(probe.about) > 40
    assert probe.hint
    assert probe.needed_by or probe.limits or probe.avoided


def test_gates_come_before_what_they_keep_from_being_tried():
    kinds = [probe.kind for probe in PROBES]
    assert kinds == sorted(kinds)
    assert Kind.GATE < Kind.LOADS


@pytest.mark.parametrize(
    ("release", "version", "signature", "found"),
    [
        ("6.18.44", "#1 SMP PREEMPT_DYNAMIC Mon Nov 2 2026", "", (6, 18, 44)),
        ("6.1.0-56-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-01)", "", (6, 1, 192)),
        ("5.10.0-46-amd64", "#1 SMP Debian 5.10.262-1 (2026-10-01)", "", (5, 10, 262)),
        ("6.8.0-57-generic", "#59-Ubuntu SMP", "Ubuntu 6.8.0-57.59-generic 6.8.12", (6, 8, 12)),
        ("5.14.0-503.el9.x86_64", "#1 SMP", "", (5, 14, 0)),
        ("6.6.87.2-microsoft-standard-WSL2", "#1 SMP", "", (6, 6, 87)),
        ("7.2-rc3", "#1 SMP", "", (7, 2, 0)),
    ],
)
def test_kernel_orgs_number_is_found(release, version, signature, found):
    assert parse(release, version, signature) == found


def test_a_release_without_a_number_is_told():
    with pytest.raises(SockproxyError):
        parse("custom")


def test_a_range_ends_before_the_release_that_mends_it():
    ranges = [("6.1.95", "6.1.142"), ("6.13", "6.15.3")]
    inside = {"6.1.95", "6.1.141", "6.13.0", "6.15.2"}
    outside = {"6.1.94", "6.1.142", "6.12.99", "6.15.3", "7.2.1"}
    assert {each for each in inside | outside if within(parse(each), ranges)} == inside

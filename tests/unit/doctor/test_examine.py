"""An examination: probes that fail, hang or crash, and what follows of each."""

from __future__ import annotations

import errno
import os
import sys
import time

import pytest

from sockproxy.doctor import Finding, Kind, Probe, examine, latest, proofs
from sockproxy.doctor.probe import AGAIN
from sockproxy.proof.mechanisms import BYPASS, ENROL, OBSERVE, SPLICE, VERDICT_ONLY
from sockproxy.proof.proof import Proof
from tests.unit.doctor.made import fail, hang, lack, probe

examination = sys.modules[examine.__module__]  # its name is the function's too


TRIED = (
    probe("good", lambda: "found", SPLICE, BYPASS),
    probe("failing", fail, BYPASS),
    probe("broken", lambda: str(1 // 0), ENROL),
    probe("hanging", hang, ENROL, OBSERVE),
    probe("crashing", lambda: os._exit(9), ENROL, VERDICT_ONLY),
    probe("pointless", hang, ENROL),
    probe("limiting", fail, **{SPLICE: "slow"}),
)


def test_each_way_to_fail_is_a_finding(busy):
    findings = list(examine(TRIED, seconds=2))  # all of them: on a busy machine too
    assert [finding.ok for finding in findings] == [True, *[False] * 6]
    assert [finding.found for finding in findings] == [
        "found", "it is not there", "integer division or modulo by zero",
        "no result in 2 s", "the probe crashed (9)", "see 'broken'", "it is not there",
    ]  # fmt: skip
    assert findings[1].log == "verifier says no"
    assert [finding.advice for finding in findings] == [
        None, "do this", "hint", AGAIN, "hint", None, "do this",
    ]  # fmt: skip
    found = proofs(findings)
    assert {name: list(each.failed) for name, each in found.items() if each.failed} == {
        BYPASS: ["failing"],
        ENROL: ["broken", "crashing"],
        VERDICT_ONLY: ["crashing"],
    }
    assert found[BYPASS].why_not == "failing: it is not there"
    assert found[ENROL].why_not.endswith("(and 1 more)")
    assert (found[OBSERVE].on, found[OBSERVE].known) == (False, False)
    assert found[SPLICE].on
    assert found[SPLICE].limits == {"limiting": "slow"}


def test_no_room_for_a_process_is_of_the_moment(monkeypatch):
    def refuse(*_):
        raise BlockingIOError(errno.EAGAIN, "no")

    monkeypatch.setattr(examination, "apart", refuse)
    (finding,) = examine([probe("good", lambda: "found", SPLICE)])
    assert (finding.ok, finding.conclusive, finding.lasts) == (False, False, False)


def test_what_was_not_found_out_is_tried_again_with_more_patience(busy, tmp_path):
    """And the later finding holds; what is known is not tried again."""
    marks = tmp_path / "marks"

    def once_late(trial):
        with marks.open("a") as file:
            file.write(f"{trial.patience} ")
        if len(marks.read_text().split()) == 1:
            raise TimeoutError("timed out")
        return "found"

    late = Probe("late", once_late, "hint", Kind.DOES, (BYPASS,))
    findings = list(examine([late, probe("good", lambda: "found", BYPASS)], 4.0, passes=3))
    assert [(each.probe.name, each.ok) for each in findings] == [
        ("late", False),
        ("good", True),
        ("late", True),
    ]
    first, second = map(float, marks.read_text().split())
    assert second == 2 * first
    assert proofs(findings)[BYPASS] == Proof()
    assert [each.found for each in latest(findings)] == ["found", "found"]


def test_a_stall_that_comes_again_is_the_kernels_unless_the_machine_is_busy(busy):
    stalls = [probe("stalls", lack(TimeoutError("timed out")), BYPASS)]
    *_, last = examine(stalls, 4.0, passes=3)
    assert (last.conclusive, last.lasts) == (True, True)
    assert last.found == "timed out, again, and the machine is not busy"
    busy(True)
    findings = list(examine(stalls, 4.0, passes=3))
    assert [each.conclusive for each in findings] == [False] * 3
    assert findings[-1].found == "timed out: this machine is busy"


@pytest.mark.parametrize("is_busy", [False, True])
def test_what_a_busy_machine_showed_is_not_kept_until_the_boot(busy, is_busy):
    """But that a limit is there is: it costs little to be wrong."""
    busy(is_busy)
    for probes, lasts in (
        ([probe("fails", fail, BYPASS)], not is_busy),
        ([probe("slow", fail, **{BYPASS: "slow"})], True),
        ([probe("refused", fail, BYPASS, kind=Kind.LOADS)], True),
    ):
        found = proofs(examine(probes))[BYPASS]
        assert (found.known, found.lasts) == (True, lasts)


def test_what_is_off_by_then_is_not_tried_again(busy):
    findings = list(
        examine([probe("hangs", hang, BYPASS), probe("fails", fail, BYPASS)], 0.3, passes=3)
    )
    assert [(each.probe.name, each.tried) for each in findings] == [
        ("hangs", True),
        ("fails", True),
        ("hangs", False),
    ]
    found = proofs(findings)[BYPASS]
    assert (list(found.failed), found.known, found.lasts) == (["fails"], True, True)


def test_a_limit_that_was_not_found_out_is_one(busy):
    finding = Finding(probe("slow", fail, **{BYPASS: "slow"}), False, "late", conclusive=False)
    found = proofs([finding])[BYPASS]
    assert (found.on, found.limits) == (True, {"slow": "slow"})


def test_all_together_have_an_end():
    began = time.monotonic()
    mechanisms = (SPLICE, BYPASS, ENROL, OBSERVE, VERDICT_ONLY)
    hanging = [probe(f"hangs {each}", hang, each) for each in mechanisms]
    findings = list(examine([*hanging, probe("late", lambda: "", *mechanisms)], seconds=0.4))
    assert time.monotonic() - began < 20  # not five times a minute
    assert [finding.ok for finding in findings] == [False] * 6
    assert "no time was left for it: other probes had taken all" in {
        finding.found for finding in findings
    }


def test_what_a_gate_switches_off_is_not_tried():
    gate = probe("gate", fail, SPLICE, kind=Kind.GATE)
    crash = probe("crash", lambda: os._exit(9), SPLICE)
    other = probe("other", lambda: "found", SPLICE, BYPASS)
    findings = list(examine([gate, crash, other]))
    assert [each.found for each in findings] == ["it is not there", "see 'gate'", "found"]
    assert [each.tried for each in findings] == [True, False, True]
    found = proofs(findings)
    assert list(found[SPLICE].failed) == ["gate"]
    assert found[BYPASS].on

"""What a process knows of a mechanism, and when it has it examined."""

from __future__ import annotations

import errno
import json
import time

from sockproxy.proof import ask
from sockproxy.proof.ask import find_out, keep, proof_of, why_not_proved
from sockproxy.proof.mechanisms import BYPASS, OBSERVE
from sockproxy.proof.proof import RIGHTS, Proof
from sockproxy.proof.protocol import Said
from tests.unit.proof.made import UNKNOWN, FakeExamination, says


def test_nothing_kept_asks_doctor(place):
    assert not place.exists()
    FakeExamination.says = [Said("a line"), says(bypass=Proof(), observe=Proof())]
    assert proof_of(BYPASS).on
    assert proof_of(OBSERVE).on
    assert FakeExamination.asked == [[BYPASS, OBSERVE]]  # together, and once


def test_what_doctor_says_meanwhile_is_passed_on():
    FakeExamination.says = [Said("a line"), says(bypass=Proof())]
    lines = []
    find_out((BYPASS,), lines.append)
    assert lines[1:] == ["a line"]  # after what it is about


def test_what_could_not_be_found_out_is_neither_on_nor_off(place):
    FakeExamination.says = [says(bypass=UNKNOWN, observe=Proof())]
    assert (proof_of(BYPASS).on, proof_of(BYPASS).known) == (False, False)
    assert why_not_proved(BYPASS) == (
        "could not find out whether bypass is safe here: bypass: no result in 20 s"
    )
    assert proof_of(OBSERVE).on
    assert len(FakeExamination.asked) == 1  # a process does not ask again at once
    keep({BYPASS: UNKNOWN, OBSERVE: Proof()})
    assert list(json.loads(place.read_text())["verdicts"]) == [OBSERVE]


def test_it_is_asked_again_a_minute_later(monkeypatch):
    FakeExamination.says = [says(bypass=UNKNOWN)]
    assert not proof_of(BYPASS).known
    FakeExamination.says = [says(bypass=Proof())]
    later = time.monotonic() + 2 * ask.UNKNOWN_HOLDS
    monkeypatch.setattr(ask.time, "monotonic", lambda: later)
    assert proof_of(BYPASS).on


def test_want_of_rights_is_not_told_of_the_kernel():
    FakeExamination.says = [says(bypass=Proof({RIGHTS: "missing: CAP_BPF"}, lasts=False))]
    assert (
        why_not_proved(BYPASS) == "bypass is off for want of rights: capabilities: missing: CAP_BPF"
    )


def test_no_room_for_a_doctor_says_nothing_of_the_kernel(monkeypatch):
    def refuse(mechanisms):
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(ask, "Examination", refuse)
    assert not proof_of(BYPASS).known
    assert "cannot be started: Resource temporarily" in why_not_proved(BYPASS)

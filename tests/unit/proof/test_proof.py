"""What doctor found is kept until the next boot, and believed only where it still holds."""

from __future__ import annotations

import errno
import json
import os
import time
from typing import ClassVar

import pytest

from sockproxy import proof
from sockproxy.proof import ask, protocol, record
from sockproxy.proof.ask import find_out, keep, proof_of, why_not_proved
from sockproxy.proof.examination import Examination
from sockproxy.proof.mechanisms import BYPASS, MECHANISMS, OBSERVE, SPLICE, VERDICT_ONLY
from sockproxy.proof.proof import RIGHTS, Proof
from sockproxy.proof.protocol import Said, parse_arguments, parse_line, to_line
from sockproxy.proof.record import kept_at

FOUND = {name: Proof() for name in MECHANISMS} | {
    SPLICE: Proof({"early data": "round 3: received b''"}, {"probe": "slow"}),
}
UNKNOWN = Proof(unknown={"bypass": "no result in 20 s"}, lasts=False)


class FakeExamination:
    """A doctor that says what is in `says`, and notes what it was asked."""

    asked: ClassVar[list] = []
    says: ClassVar[list] = []

    def __init__(self, mechanisms):
        self.asked.append(list(mechanisms))

    def said_within(self, seconds):
        yield from self.says

    def why_no_answer(self):
        return "ended with status 1"

    def close(self):
        pass


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A run-time directory of our own; doctor is not there to be asked."""
    monkeypatch.setattr(record, "runtime_root", lambda: tmp_path / "sockproxy")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(ask, "Examination", FakeExamination)
    monkeypatch.setattr(FakeExamination, "asked", [])
    monkeypatch.setattr(FakeExamination, "says", [])
    ask.forget()
    yield kept_at()
    ask.forget()


def says(**found):
    """One of doctor's lines."""
    return Said(proofs=found)


def test_what_is_kept_is_read():
    keep(FOUND)
    assert {name: proof_of(name) for name in MECHANISMS} == FOUND
    assert why_not_proved(BYPASS) == ""
    assert why_not_proved(SPLICE) == (
        "splice is off on this kernel: early data: round 3: received b''"
    )


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


def test_what_one_found_out_stays_when_another_does_not(place):
    keep({SPLICE: Proof()})
    keep({BYPASS: Proof()})
    assert keep({SPLICE: UNKNOWN}) is None
    assert {SPLICE, BYPASS} == json.loads(place.read_text())["verdicts"].keys()
    assert proof_of(SPLICE).on


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


def asks_doctor():
    proof_of(BYPASS)
    return FakeExamination.asked == [[BYPASS, OBSERVE]]


@pytest.mark.parametrize("key", ["boot", "kernel", "objects", "probes", "libbpf", "capable"])
def test_what_is_of_another_machine_or_build_is_not_believed(place, key):
    keep(FOUND)
    document = json.loads(place.read_text())
    document["of"][key] = "another"
    place.write_text(json.dumps(document))
    assert asks_doctor()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"of": 1}', "null"])
def test_a_broken_file_is_not_believed(place, text):
    place.write_text(text)
    assert asks_doctor()


def test_a_file_that_others_may_write_is_not_believed(place):
    keep(FOUND)
    place.chmod(0o666)
    assert asks_doctor()


def test_a_link_is_not_followed(place, tmp_path):
    keep(FOUND)
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    assert asks_doctor()


def test_a_place_that_cannot_be_written_is_told(place, monkeypatch):
    monkeypatch.setattr(record, "runtime_root", lambda: place / "nowhere" / "sockproxy")
    assert keep(FOUND) is None


@pytest.mark.parametrize("shape", [None, {}, [], {"failed": {}}])
def test_a_proof_of_another_shape_is_not_believed(place, shape):
    keep(FOUND)
    document = json.loads(place.read_text())
    document["verdicts"][BYPASS] = shape
    place.write_text(json.dumps(document))
    assert asks_doctor()


def test_doctor_is_ours_and_not_the_working_directorys(tmp_path, monkeypatch):
    (tmp_path / "sockproxy").mkdir()
    (tmp_path / "sockproxy" / "__main__.py").write_text("open('ran', 'w')")
    (tmp_path / "json.py").write_text("open('ran', 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ask, "Examination", Examination)
    found = proof_of(VERDICT_ONLY)
    assert not (tmp_path / "ran").exists()
    assert "doctor" not in found.unknown, found  # it has given an answer


def test_no_answer_proves_nothing(monkeypatch):
    monkeypatch.setattr(ask, "Examination", Examination)
    monkeypatch.setattr(protocol.sys, "executable", "/bin/false")
    found = proof_of(BYPASS)
    assert (found.on, found.known) == (False, False)
    assert "ended with status 1" in why_not_proved(BYPASS)


def test_without_a_prover_nothing_is_known(monkeypatch, place):
    """As a program that has taken doctor away, or a layer below that is used alone."""
    monkeypatch.setattr(proof, "prover", "")
    monkeypatch.setattr(ask, "Examination", Examination)
    found = proof_of(BYPASS)
    assert (found.on, found.known, found.lasts) == (False, False, False)
    assert why_not_proved(BYPASS) == (
        "could not find out whether bypass is safe here:"
        " doctor: it cannot be started: no prover is registered"
    )
    assert keep(FOUND) is None  # nobody could tell what it holds for
    assert not place.exists()


def test_the_package_registers_its_prover_when_it_is_imported():
    assert proof.prover == "sockproxy.doctor"


@pytest.mark.parametrize("said", [Said("a line"), Said(proofs=FOUND), Said()])
def test_what_a_prover_says_is_read_as_it_was_said(said):
    assert parse_line(to_line(said).encode()) == said


@pytest.mark.parametrize("line", [b"", b"MemoryError: no more", b"[1]", b"null", b"\xff"])
def test_what_no_prover_says_is_told_from_what_one_does(line):
    assert parse_line(line) is None


def test_what_a_prover_is_asked_is_read_as_it_was_asked():
    argv = protocol.command("sockproxy.doctor", (BYPASS, OBSERVE))
    name = argv.index("sockproxy.doctor")
    assert argv[name - 1] == "-m"
    assert parse_arguments(argv[name:]) == (os.getpid(), [BYPASS, OBSERVE])


def test_the_last_words_of_a_doctor_that_broke_are_told(monkeypatch, tmp_path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho Traceback\necho 'MemoryError: no more' >&2\nexit 3\n")
    broken.chmod(0o700)
    monkeypatch.setattr(ask, "Examination", Examination)
    monkeypatch.setattr(protocol.sys, "executable", str(broken))
    assert "ended with status 3: MemoryError: no more" in why_not_proved(BYPASS)


@pytest.mark.parametrize("ending", ["close", "time"])
def test_a_doctor_that_does_not_end_is_ended(monkeypatch, tmp_path, ending):
    hanging = tmp_path / "python"
    hanging.write_text('#!/bin/sh\necho \'{"told": "here"}\'\nexec sleep 1000\n')
    hanging.chmod(0o700)
    monkeypatch.setattr(protocol.sys, "executable", str(hanging))
    run = Examination([BYPASS])
    heard = run.said_within(1000 if ending == "close" else 0.5)
    assert next(heard) == Said("here")
    if ending == "time":
        assert list(heard) == []
        assert run.why_no_answer() == "no answer in time"
    run.close()
    run.close()
    assert run.why_no_answer() == "ended by signal 15"


def test_nothing_else_is_left_beside_it(place):
    keep(FOUND)
    keep(FOUND)
    assert sorted(os.listdir(place.parent)) == [place.name]
    assert place.stat().st_mode & 0o777 == 0o600

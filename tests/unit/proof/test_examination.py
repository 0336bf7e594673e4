"""A prover that runs as a child: it is ours, and ends, and its last words are told."""

from __future__ import annotations

import pytest

from sockproxy import proof
from sockproxy.proof import ask, protocol
from sockproxy.proof.ask import keep, proof_of, why_not_proved
from sockproxy.proof.examination import Examination
from sockproxy.proof.mechanisms import BYPASS, VERDICT_ONLY
from sockproxy.proof.protocol import Said
from tests.unit.proof.made import FOUND


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

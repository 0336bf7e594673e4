"""What is kept until the next boot, and believed only where it still holds."""

from __future__ import annotations

import json
import os

import pytest

from sockproxy.proof import record
from sockproxy.proof.ask import keep, proof_of, why_not_proved
from sockproxy.proof.mechanisms import BYPASS, MECHANISMS, OBSERVE, SPLICE
from sockproxy.proof.proof import Proof
from tests.unit.proof.made import FOUND, UNKNOWN, FakeExamination


def asks_doctor():
    proof_of(BYPASS)
    return FakeExamination.asked == [[BYPASS, OBSERVE]]


def test_what_is_kept_is_read():
    keep(FOUND)
    assert {name: proof_of(name) for name in MECHANISMS} == FOUND
    assert why_not_proved(BYPASS) == ""
    assert why_not_proved(SPLICE) == (
        "splice is off on this kernel: early data: round 3: received b''"
    )


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


def test_what_one_found_out_stays_when_another_does_not(place):
    keep({SPLICE: Proof()})
    keep({BYPASS: Proof()})
    assert keep({SPLICE: UNKNOWN}) is None
    assert {SPLICE, BYPASS} == json.loads(place.read_text())["verdicts"].keys()
    assert proof_of(SPLICE).on


def test_nothing_else_is_left_beside_it(place):
    keep(FOUND)
    keep(FOUND)
    assert sorted(os.listdir(place.parent)) == [place.name]
    assert place.stat().st_mode & 0o777 == 0o600

"""What doctor found is kept until the next boot, and believed only where it still holds."""

from __future__ import annotations

import json
import os

import pytest

from sockproxy.controller import verdicts
from sockproxy.controller.mechanisms import BYPASS, MECHANISMS, SPLICE
from sockproxy.controller.verdicts import Verdict, keep, kept_at, why_off

ask_doctor = verdicts._ask_doctor  # the fixture below replaces it
FOUND = {name: Verdict() for name in MECHANISMS} | {
    SPLICE: Verdict({"early data": "round 3: received b''"}, {"probe": "slow"}),
}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A run-time directory of our own; doctor is not there to be asked."""
    monkeypatch.setattr(verdicts, "runtime_root", lambda: tmp_path / "sockproxy")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(verdicts, "_ask_doctor", lambda: {"asked": Verdict()})
    verdicts._verdicts.cache_clear()
    yield kept_at()
    verdicts._verdicts.cache_clear()


def test_what_is_kept_is_read():
    keep(FOUND)
    assert verdicts._verdicts() == FOUND
    assert why_off(BYPASS) == ""
    assert why_off(SPLICE) == ("splice is off on this kernel: early data: round 3: received b''")


def test_nothing_kept_asks_doctor(place):
    assert not place.exists()
    assert "asked" in verdicts._verdicts()


@pytest.mark.parametrize("key", ["boot", "kernel", "objects", "probes", "libbpf", "capable"])
def test_what_is_of_another_machine_or_build_is_not_believed(place, key):
    keep(FOUND)
    document = json.loads(place.read_text())
    document["of"][key] = "another"
    place.write_text(json.dumps(document))
    assert "asked" in verdicts._verdicts()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"of": 1}', "null"])
def test_a_broken_file_is_not_believed(place, text):
    place.write_text(text)
    assert "asked" in verdicts._verdicts()


def test_a_file_that_others_may_write_is_not_believed(place):
    keep(FOUND)
    place.chmod(0o666)
    assert "asked" in verdicts._verdicts()


def test_a_link_is_not_followed(place, tmp_path):
    keep(FOUND)
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    assert "asked" in verdicts._verdicts()


def test_a_place_that_cannot_be_written_is_told(place, monkeypatch):
    monkeypatch.setattr(verdicts, "runtime_root", lambda: place / "nowhere" / "sockproxy")
    assert keep(FOUND) is None


def test_a_file_with_other_mechanisms_is_not_believed(place):
    keep(FOUND)
    document = json.loads(place.read_text())
    del document["verdicts"][BYPASS]
    place.write_text(json.dumps(document))
    assert "asked" in verdicts._verdicts()


def test_doctor_is_ours_and_not_the_working_directorys(tmp_path, monkeypatch):
    (tmp_path / "sockproxy").mkdir()
    (tmp_path / "sockproxy" / "__main__.py").write_text("open('ran', 'w')")
    (tmp_path / "json.py").write_text("open('ran', 'w')")
    monkeypatch.chdir(tmp_path)
    found = ask_doctor()
    assert not (tmp_path / "ran").exists()
    assert found.keys() == set(MECHANISMS)


def test_no_answer_proves_nothing(monkeypatch):
    monkeypatch.setattr(verdicts.sys, "executable", "/bin/false")
    found = ask_doctor()
    assert found.keys() == set(MECHANISMS)
    assert not any(each.on for each in found.values())


def test_nothing_else_is_left_beside_it(place):
    keep(FOUND)
    keep(FOUND)
    assert sorted(os.listdir(place.parent)) == [place.name]
    assert place.stat().st_mode & 0o777 == 0o600

"""The conformance table: every behaviour is a row, every pattern a test, every status right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.support.conformance_table import MECHANISMS, fits, read_rows
from tests.unit.support.conformance_behaviours import BEHAVIOURS

ROOT = Path(__file__).resolve().parents[3]
ROWS = ROOT / "tests" / "conformance" / "rows.toml"

MINI = """
import os, signal, pytest

def test_good(): pass
def test_bad(): assert False
@pytest.mark.parametrize("n", [1, 2])
def test_some(n):
    if n == 2: pytest.skip("not here")
@pytest.fixture
def broken():
    yield
    raise ValueError
def test_torn_down(broken): pass
@pytest.mark.soak
def test_long(): pass
def test_of_both(): pass
def test_stop():
    if os.environ.get("STOP"): os.kill(os.getpid(), signal.SIGINT)
def test_unnamed(): assert False
"""
MINI_ROWS = """
[reasons]
far = "far away"
[[section]]
name = "One"
verdict-only = "far"
short-circuit = "far"
[[section.row]]
name = "good"
splice = ["tests/test_it.py::test_good"]
bypass = ["tests/test_it.py::test_bad"]
[[section.row]]
name = "partly"
splice = ["tests/test_it.py::test_some[*]"]
bypass = ["tests/test_it.py::test_some[1]"]
[[section]]
name = "Two"
short-circuit = ["tests/test_it.py::test_of_both"]
[[section.row]]
name = "others"
splice = ["tests/test_it.py::test_long"]
verdict-only = ["tests/test_it.py::test_of_both", "tests/test_it.py::test_stop"]
bypass = ["tests/test_it.py::test_of_both"]
[[section.row]]
name = "torn"
splice = ["tests/test_it.py::test_torn_down"]
verdict-only = "nothing"
bypass = "nothing"
"""
INI = """
[pytest]
testpaths = tests
addopts = -m 'not soak' -p no:cacheprovider
markers = soak
"""


# -- the table of this project -------------------------------------------------------------


@cache
def collected():
    """The id of every test."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--co", "-q", "-m", "", "-p", "no:cacheprovider",
         "tests/root"],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_every_pattern_names_a_test():
    wrong = [
        (row.name, pattern)
        for row in read_rows(ROWS)
        for mechanism in MECHANISMS
        for pattern in row.patterns(mechanism)
        if not any(fits(nodeid, pattern) for nodeid in collected())
    ]
    assert not wrong


def test_every_row_says_something_of_every_mechanism():
    for row in read_rows(ROWS):
        assert row.cells.keys() == set(MECHANISMS)
        assert all(row.cells.values()), row.name


@pytest.mark.parametrize("section", BEHAVIOURS)
def test_every_behaviour_is_a_row(section):
    names = {row.name for row in read_rows(ROWS) if row.section == section}
    assert not [each for each in BEHAVIOURS[section] if each not in names]


@pytest.mark.parametrize(
    ("mechanism", "test"), [("bypass", "test_same"), ("short-circuit", "test_same_past_a_proxy")]
)
def test_every_socket_call_is_in_a_row(mechanism, test):
    patterns = [each for row in read_rows(ROWS) for each in row.patterns(mechanism)]
    cases = [each for each in collected() if f"/test_same_calls.py::{test}[" in each]
    assert len(cases) > 100
    left = [each for each in cases if not any(fits(each, pattern) for pattern in patterns)]
    assert not left


# -- the plugin ----------------------------------------------------------------------------


@pytest.fixture
def mini(tmp_path):
    """A project of its own; a function that runs its table: (the process, the JSON)."""
    (tmp_path / "tests" / "conformance").mkdir(parents=True)
    (tmp_path / "pytest.ini").write_text(INI)
    (tmp_path / "tests" / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "tests" / "test_it.py").write_text(MINI)
    (tmp_path / "tests" / "conformance" / "rows.toml").write_text(MINI_ROWS)

    def run(*arguments, **environment):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--conformance=out", *map(str, arguments)],
            env={"PYTHONPATH": str(ROOT), **environment},
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        written = tmp_path / "out" / "conformance.json"
        return done, json.loads(written.read_text()) if written.exists() else None

    run.folder = tmp_path
    return run


def cells(document):
    """Rows by name."""
    return {row["name"]: row for section in document["sections"] for row in section["rows"]}


def doctor(folder, **failed):
    """A report of doctor in which these mechanisms are off."""
    names = {"splice": "splice", "verdict_only": "splice, verdict only", "bypass": "bypass"}
    said = {
        name: {"on": each not in failed, "failed": failed.get(each, []), "limits": []}
        for each, name in names.items()
    }
    path = folder / "doctor.json"
    path.write_text(json.dumps({"mechanisms": said}))
    return str(path)


def test_statuses(mini):
    done, document = mini()
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert (document["schema"], document["kind"]) == (1, "conformance")
    assert document["kernel"] == os.uname().release
    assert [section["name"] for section in document["sections"]] == ["One", "Two"]
    rows = cells(document)
    assert rows["good"]["splice"] == {"status": "passed", "tests": 1}
    assert rows["good"]["bypass"]["status"] == "failed"
    assert rows["good"]["bypass"]["failed"] == ["tests/test_it.py::test_bad"]
    far = {"status": "not applicable", "tests": 0, "reason": "far away"}
    assert rows["good"]["verdict-only"] == far
    skipped = {"status": "skipped", "tests": 2, "reason": "not here"}
    assert rows["partly"]["splice"] == skipped
    assert rows["partly"]["bypass"] == {"status": "passed", "tests": 1}
    assert rows["others"]["splice"]["status"] == "not run"
    assert "soak" in rows["others"]["splice"]["reason"]
    assert rows["torn"]["splice"]["status"] == "failed"


def test_summary_and_table_for_people(mini):
    done, _ = mini()
    assert "4 rows on Linux" in done.stdout
    assert "failed: good (bypass): tests/test_it.py::test_bad" in done.stdout
    table = (mini.folder / "out" / "conformance.md").read_text()
    assert "| good | passed (1) | not applicable [1] | **failed**: `tests/" in table
    assert "1. far away" in table


def test_a_sample_has_a_test_of_every_pattern(mini):
    done, document = mini("--sample=1", "-v")
    rows = cells(document)
    # The pattern with all takes the one that the narrower pattern has taken.
    assert rows["partly"]["splice"] == rows["partly"]["bypass"] == {"status": "passed", "tests": 1}
    assert "test_some[2]" not in done.stdout
    assert rows["good"]["bypass"]["status"] == "failed"
    assert rows["others"]["verdict-only"]["tests"] == 2


def test_a_table_is_written_over(mini):
    mini()
    assert mini("-k", "good")[0].returncode == 0


def test_each_test_runs_once_and_no_other(mini):
    done, _ = mini("-v")
    ran = [line.split()[0] for line in done.stdout.splitlines() if line.endswith("%]")]
    named = ["good", "bad", "some[1]", "some[2]", "torn_down", "of_both", "stop"]
    assert sorted(set(ran)) == sorted(f"tests/test_it.py::test_{each}" for each in named)
    # An error of the tear-down has a line of its own.
    assert [each for each in ran if ran.count(each) > 1] == ["tests/test_it.py::test_torn_down"] * 2


def test_soak_tests_run_when_asked_for(mini):
    _, document = mini("-m", "soak")
    rows = cells(document)
    assert rows["others"]["splice"]["status"] == "passed"
    assert rows["good"]["splice"]["status"] == "not run"


def test_what_is_off_is_not_run(mini):
    _, document = mini("--doctor=" + doctor(mini.folder, bypass=["bypass", "libbpf"]))
    rows = cells(document)
    off = {"status": "off", "tests": 1, "reason": "failed: bypass, libbpf"}
    assert rows["good"]["bypass"] == off
    assert rows["good"]["splice"]["status"] == "passed"
    # It is for verdict-only as well, which is on.
    assert rows["others"]["bypass"] == off
    assert rows["others"]["short-circuit"] == off
    assert rows["others"]["verdict-only"]["status"] == "passed"


@pytest.mark.parametrize("name", ["splice", "bypass"])
def test_a_short_circuit_needs_a_splice_and_a_bypass(mini, name):
    _, document = mini("--doctor=" + doctor(mini.folder, **{name: ["x", "y"]}))
    assert cells(document)["others"]["short-circuit"]["reason"] == "failed: x, y"


@pytest.mark.parametrize(("failed", "status"), [(["exact"], "passed"), (["loads", "exact"], "off")])
def test_verdict_only_is_tested_where_it_loads(mini, failed, status):
    _, document = mini("--doctor=" + doctor(mini.folder, verdict_only=failed, bypass=["x"]))
    assert cells(document)["others"]["verdict-only"]["status"] == status


def test_a_pattern_that_names_no_test_is_an_error(mini):
    path = mini.folder / "tests" / "conformance" / "rows.toml"
    path.write_text(MINI_ROWS.replace("test_some[1]", "test_some[3]"))
    done, document = mini()
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_some[3]" in done.stderr
    assert "partly" in done.stderr
    assert document is None


def test_a_row_without_a_mechanism_is_an_error(mini):
    path = mini.folder / "tests" / "conformance" / "rows.toml"
    path.write_text(MINI_ROWS.replace('bypass = "nothing"', ""))
    done, _ = mini()
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "torn" in done.stderr


def test_interrupted(mini):
    """What ran is told, and what did not."""
    done, document = mini(STOP="1")
    assert done.returncode == pytest.ExitCode.INTERRUPTED
    rows = cells(document)
    assert rows["good"]["splice"]["status"] == "passed"
    assert rows["good"]["bypass"]["status"] == "failed"
    assert rows["others"]["verdict-only"]["status"] == "not run"


def test_a_part_of_the_tests(mini):
    done, document = mini("tests/test_it.py::test_good")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = cells(document)
    assert rows["good"]["splice"]["status"] == "passed"
    assert rows["good"]["bypass"]["status"] == "not run"

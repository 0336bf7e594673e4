"""tests/suites: what is compared, kept and told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.suites import campaign, ground, record
from tests.suites.compare import DIFFERS, NOT_AGAIN, UNSTEADY, differing, judge
from tests.suites.document import DOCUMENT, page
from tests.suites.errors import SuiteError
from tests.suites.kinds import ABORTED, FAILED, KINDS, PASSED, THE_RUN
from tests.suites.table import CHECKOUT, Mode, Suite, chosen, read_table
from tests.suites.words import as_table

P, F = PASSED, FAILED


def run_cli(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "tests.suites", *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )


def test_what_differs():
    plain = {"same": P, "worse": P, "better": F, "gone": P, "both fail": F}
    other = {"same": P, "worse": F, "better": P, "new": P, "both fail": F}
    assert differing(plain, other) == ["better", "gone", "new", "worse"]
    assert differing(plain, dict(plain)) == []


@pytest.mark.parametrize(
    ("plain", "other", "judgement"),
    [
        ([P], [F], DIFFERS),  # nothing was run again
        ([P, P, P], [F, P, F], DIFFERS),
        ([P, P, P], [F, F, F], DIFFERS),
        ([F, F, F], [P, P, P], DIFFERS),
        ([P, P, P, F], [F, F, F, F], DIFFERS),
        ([P, P, P], [F, P, P], NOT_AGAIN),
        ([P, F, P], [F, P, P], UNSTEADY),
        ([F, P, P], [P, P, P], UNSTEADY),
        ([P, F, F], [F, F, F], UNSTEADY),
    ],
)
def test_what_to_think_of_it(plain, other, judgement):
    assert judge(plain, other) == judgement


class Scripted:
    """A kind of suite whose runs are lists of outcomes, plain and bypassed in turn."""

    def __init__(self, *runs):
        self.runs = list(runs)

    def version(self):
        return "1.0"

    def parts(self, tree):
        return ["one", "other"]

    def argv(self, part, left_out):
        return [part]

    def outcomes(self, folder, output):
        return dict(self.runs.pop(0))


BYPASSED = {"enrolled": 4, "paired": 2, "bypassed_messages": 30, "bypassed_bytes": 400,
            "passed_messages": 5}  # fmt: skip


@pytest.fixture
def play(tmp_path, monkeypatch):
    """A function that plays scripted runs, and returns the record."""

    def do(*runs, again=2, did=BYPASSED, in_time=True, counts=True):
        def run(argv, folder, log, minutes, options):
            return ground.Ran("", in_time, 2.0, None if options is None else did)

        monkeypatch.setattr(campaign.ground, "run", run)
        monkeypatch.setitem(KINDS, "scripted", Scripted(*runs))
        suite = Suite("mine", "Mine", "scripted", ["*"], 1, left_out={"x.*": "of no use"})
        modes = [Mode("bypass", ["--budget", "1MiB"], counts)]
        told = record.begin(modes, again, ())
        campaign.Campaign([(suite, ["one"])], modes, again, tmp_path, str).run(told)
        assert not KINDS["scripted"].runs
        return told

    return do


def test_a_run_in_which_all_is_the_same(play):
    told = play({"a": P, "b": F}, {"a": P, "b": F})
    assert record.why_failed(told) == []
    [part] = told["suites"][0]["parts"]
    assert (part["tests"], part["failed"], part["modes"]["bypass"]["unlike"]) == (2, ["b"], [])
    row = next(line for line in as_table(told) if line.startswith("all")).split()
    assert row[1:11] == ["2", "1", "1", "0", "0", "0", "0", "2", "30", "5"]


def test_a_run_that_was_cut_short_has_not_passed(play):
    told = play({"a": P}, {"a": P}) | {"whole": False}
    assert record.why_failed(told) == ["it did not come to its end"]


def test_a_run_in_which_a_test_differs(play):
    good, bad = {"a": P, "b": P}, {"a": F, "b": P}
    told = play(good, bad, good, bad, good, good)
    assert record.why_failed(told) == ["bypass: 1 tests did what plain they never did"]
    line = "differs: mine/one: a: plain passed 3 of 3, here failed 2 of 3, passed 1 of 3"
    assert f"bypass: {line}" in list(as_table(told))
    assert f"- {line}" in page([told])


def test_a_difference_that_does_not_come_again_is_not_cleared_by_that(play):
    good, bad = {"a": P}, {"a": F}
    told = play(good, bad, good, good, good, good)
    assert record.why_failed(told) == ["bypass: 1 tests did what plain they never did"]
    assert "not again: mine/one: a" in page([told])


def test_a_test_that_is_unsteady_plain_too_does_not_fail(play):
    good, bad = {"a": P}, {"a": F}
    told = play(good, bad, bad, good, good, good)
    assert record.why_failed(told) == []
    assert "unsteady: mine/one: a" in page([told])


def test_a_mode_for_information_does_not_fail(play):
    told = play({"a": P}, {"a": F}, again=0, counts=False)
    assert record.why_failed(told) == []
    assert "A difference does not count here" in page([told])


def test_where_nothing_was_bypassed_nothing_is_shown(play):
    told = play({"a": P}, {"a": P}, did=dict.fromkeys(BYPASSED, 0))
    assert record.why_failed(told) == ["bypass: nothing was bypassed, so nothing is shown"]


def test_where_no_test_passed_nothing_is_shown(play):
    told = play({"a": P}, {"a": P}, in_time=False)
    assert told["suites"][0]["parts"][0]["plain"]["counts"] == {ABORTED: 1, PASSED: 1}
    told = play({THE_RUN: ABORTED}, {THE_RUN: ABORTED})
    assert record.why_failed(told) == ["mine: no test passed, so nothing is shown"]


def test_the_table():
    table = read_table()
    assert [each.name for each in table.modes if each.counts] == ["bypass"]
    assert [each.name for each, _ in chosen(table, [])] == ["cpython", "redis", "libuv"]
    [(redis, patterns)] = chosen(table, ["redis/unit/*", "redis/integration/replication"])
    parts = ["unit/auth", "unit/type/hash", "integration/replication", "integration/rdb"]
    assert redis.wanted(parts, patterns) == parts[:3]
    assert redis.wanted(parts, ["*"]) == parts[:3]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[suite]]\nname = 'a'\nminute = 3", "nobody knows minute"),
        ("[[mode]]\nname = 'a'", "missing 2 required"),
        ("[[suite]]\nname = 'a'\ntitle = 'A'\nkind = 'b'\nparts = []\nminutes = 1", "no kind b"),
        ("suite", "Expected"),
    ],
)
def test_a_mistake_in_the_table_is_told(tmp_path, text, told):
    path = tmp_path / "suites.toml"
    path.write_text(text)
    with pytest.raises(SuiteError, match=told):
        read_table(path)


def test_what_is_not_there_is_one_clear_line():
    done = run_cli("run", "perl")
    assert (done.returncode, done.stderr) == (
        1,
        "Error: no suite perl: there are cpython, redis, libuv\n",
    )
    done = run_cli("run", "--mode", "fast")
    assert (done.returncode, done.stderr.startswith("Error: no mode fast: ")) == (1, True)


def test_a_part_of_the_suites_is_not_recorded():
    assert run_cli("run", "redis", "--record").returncode == 2


def test_help_has_examples():
    assert "python -m tests.suites run libuv" in run_cli("--help").stdout


def test_the_document_is_what_the_records_make():
    again = "make it again: python -m tests.suites document"
    assert DOCUMENT.read_text() == page(record.recorded()), again


def test_what_is_recorded_is_whole_and_passed():
    names = [each.name for each in read_table().suites]
    for each in record.recorded():
        assert [suite["name"] for suite in each["suites"]] == names
        assert record.why_failed(each) == []


def test_other_documents_are_no_records(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"schema": 1, "kind": "bench"}')
    with pytest.raises(SuiteError, match="no record of the suites"):
        record.load(Path(path))

"""`sockproxy bench compare`: its table, its JSON, and files that are no results."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from sockproxy.bench.result.document import KIND, SCHEMA
from sockproxy.cli.bench.compare import compare as command
from sockproxy.errors import SockproxyError, UsageError
from tests.support import bench_document as documents
from tests.support.bench_report import Page
from tests.support.bench_rounds import make
from tests.support.schema import check_document


@pytest.fixture
def kept(tmp_path):
    def keep(name, document):
        path = tmp_path / name
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return str(path)

    return keep


def invoke(*arguments):
    return CliRunner().invoke(command, arguments, standalone_mode=False)


def test_the_table(kept):
    a, b = kept("a.json", make("a")), kept("b.json", make("b", factors={"bypass": 0.5}))
    done = invoke(a, b)
    assert (done.exception, done.return_value) == (None, 0)
    lines = done.output.splitlines()
    assert lines[0].split()[:3] == ["CASE", "SYSTEM", "METRIC"]
    line = next(line for line in lines if "bypass" in line)
    assert "1000 transactions/s" in line
    assert "plain" in line
    assert line.endswith("WORSE")
    assert "0 better, 4 worse, 8 no difference, 0 too few rounds" in lines
    assert "99 % interval" in done.output
    assert "more than 3 % from 1" in done.output
    assert invoke(a, b, "--fail-on-worse").return_value == 1
    assert invoke(b, a, "--fail-on-worse").return_value == 0


def test_the_table_of_figures(kept):
    a, b = kept("a.json", make("a")), kept("b.json", make("b", speed=0.5))
    done = invoke(a, b, "--absolute", "--metric", "p99_us")
    assert (done.exception, done.return_value) == (None, 0)
    assert "plain" in done.output
    assert "transactions" not in done.output
    assert "0 better, 8 worse" in done.output
    assert (
        "8 no difference"
        in invoke(a, b, "--absolute", "--metric", "p99_us", "--tolerance", "100").output
    )


def test_json(kept):
    done = invoke(kept("a.json", make("a")), kept("b.json", make("b")), "--all", "--json")
    assert done.exception is None
    found = check_document(done.output)
    assert found["kind"] == "bench-compare"
    assert found["tolerance"] == pytest.approx(0.03)
    assert found["differs"] == ""
    assert len(found["rows"]) == 18
    assert found["rows"][0].keys() == {
        "case", "system", "metric", "baseline", "a", "b", "change", "verdict",
    }  # fmt: skip
    assert found["rows"][0]["change"].keys() == {"ratio", "low", "high", "pairs"}


def test_a_page(kept, tmp_path):
    a, b = kept("a.json", documents.document()), kept("b.json", documents.document(seed=8))
    output = tmp_path / "changes.html"
    done = invoke(a, b, "--output", str(output))
    assert done.exception is None
    assert done.output.splitlines()[0].startswith("CASE")
    assert "From a.json to b.json" in Page(output.read_text()).text
    for place, says in ((a, "is a result itself"), (tmp_path / "a.json" / "x", "write ")):
        failed = invoke(a, b, "--output", str(place)).exception
        assert isinstance(failed, SockproxyError)
        assert says in str(failed)
    json.loads((tmp_path / "a.json").read_text())


def test_no_page_of_what_is_damaged(kept, tmp_path):
    damaged = documents.document()
    del damaged["systems"][0]["title"]
    a, b = kept("a.json", damaged), kept("b.json", documents.document())
    error = invoke(a, b, "--output", str(tmp_path / "changes.html")).exception
    assert isinstance(error, UsageError)
    assert not (tmp_path / "changes.html").exists()


def test_what_differs_is_told_once(kept):
    other = make("b")
    other["machine"]["kernel"] = "6.12"
    done = invoke(kept("a.json", make("a")), kept("b.json", other))
    assert done.exception is None
    assert done.output.count("differ in kernel (6.1 / 6.12)") == 1


def test_all_and_metric_exclude_each_other(kept):
    a = kept("a.json", make("a"))
    assert isinstance(invoke(a, a, "--all", "--metric", "per_s").exception, UsageError)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (json.dumps(make("b"))[:5000], "cut off"),
        ("", "cut off"),
        ("[]", "no result"),
        ('{"kind": "demo", "schema": 1}', "no result"),
        (json.dumps({**make("b"), "schema": 99}), "schema 99"),
        (json.dumps({"kind": KIND, "schema": SCHEMA, "scenario": {}}), "lacks machine"),
    ],
)
def test_files_that_are_no_results(kept, content, says):
    good, bad = kept("good.json", make("a")), kept("bad.json", content)
    for order in ((good, bad), (bad, good)):
        error = invoke(*order).exception
        assert isinstance(error, UsageError)
        assert says in str(error)
        assert "bad.json" in str(error)


def test_a_file_that_is_not_there(kept, tmp_path):
    error = invoke(kept("good.json", make("a")), str(tmp_path / "none.json")).exception
    assert isinstance(error, UsageError)
    assert "none.json" in str(error)

"""The schemas of what is printed as JSON: as such, and beside what they describe."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from sockproxy.bpf.abi import field_names
from sockproxy.cli.main import COMMANDS
from sockproxy.cli.schema import NAMES
from sockproxy.cli.schema import schema as command
from sockproxy.worker.stats import DirectionStats, PairStats
from tests.support.schema import check_document, check_line, schema

ROOT = Path(__file__).resolve().parents[3]


def tables(value):
    """All parts of a schema that describe an object."""
    if isinstance(value, dict):
        if "properties" in value:
            yield value
        for each in value.values():
            yield from tables(each)
    elif isinstance(value, list):
        for each in value:
            yield from tables(each)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_a_schema_that_lets_no_other_field_through(name):
    found = schema(name)
    Draft202012Validator.check_schema(found)
    described = list(tables(found))
    assert described
    assert not any(each["additionalProperties"] for each in described)
    if name != "log":
        assert found["properties"]["kind"] == {"const": name}
        assert found["properties"]["schema"] == {"const": 1}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_printed(name):
    done = CliRunner().invoke(command, [name])
    assert done.exit_code == 0
    assert done.output == (ROOT / f"sockproxy/schema/{name}.json").read_text()


def test_which_there_are():
    assert "schema" in COMMANDS
    done = CliRunner().invoke(command, [])
    assert [line.split()[0] for line in done.output.splitlines()] == ["NAME", *NAMES]
    assert CliRunner().invoke(command, ["../x"]).exit_code == 2


def test_what_is_counted_is_described():
    """Also where no test prints it: BPF's counters, and the worker's."""
    bypass = schema("status")["$defs"]["bypass"]["properties"]
    assert set(field_names("bypass_totals")) <= bypass.keys()
    defs = schema("connections")["$defs"]
    assert defs["way"]["properties"].keys() == {each.name for each in fields(DirectionStats)}
    assert defs["connection"]["properties"].keys() == {each.name for each in fields(PairStats)}
    assert set(field_names("traffic")) <= defs["socket"]["properties"].keys()


@pytest.mark.parametrize(
    "path", sorted((ROOT / "bench/results").glob("*.json")), ids=lambda it: it.stem
)
def test_results_that_are_kept(path):
    assert check_document(path.read_text())["cases"]


def test_another_field_is_an_error():
    document = '{"schema": 1, "kind": "check", "files": [], "more": 1}'
    with pytest.raises(AssertionError, match=r"check\.json says: .*'more' was unexpected"):
        check_document(document)
    with pytest.raises(AssertionError, match=r"log\.json says"):
        check_line('{"time": "", "level": "info", "logger": "", "message": "", "more": 1}')

"""Samples as CSV: all of them, whatever is in their names."""

from __future__ import annotations

import csv

import pytest

from sockproxy.bench.report import samples
from tests.support import bench_document as documents
from tests.support.bench_report import HOSTILE, KINDS, hostile


def read(document):
    return list(csv.DictReader(samples.render(document).splitlines(keepends=True)))


def test_a_row_for_each_sample():
    document = documents.document()
    rows = read(document)
    assert len(rows) == len(document["samples"])
    for row, sample in zip(rows, document["samples"], strict=True):
        assert (row["case"], row["system"]) == (sample["case"], sample["system"])
        assert int(row["round"]) == sample["round"]
        told = {key: float(row[key]) for key in document["metrics"] if row.get(key)}
        assert told == pytest.approx(sample["values"])
        assert float(row["cpu.client"]) == sample["cpu"]["client"]
        assert {way for way in row if way.startswith("carried.") and row[way]} == {
            f"carried.{way}" for way in sample["carried"]
        }


def test_the_order_of_columns():
    first = samples.render(documents.document()).partition("\n")[0]
    assert first.startswith("case,system,round,order,seconds,gbit_per_s,per_s,mean_us,p50_us,")


def test_names_with_commas_quotes_and_lines():
    document = hostile()
    assert {row["system"] for row in read(document)} == {"plain", "evil"}
    (odd,) = [name for name in read(document)[0] if name.startswith("carried.<")]
    assert odd == f"carried.{HOSTILE}"


@pytest.mark.parametrize("document", [kind() for kind in KINDS.values()], ids=KINDS.keys())
def test_every_kind_of_document(document):
    assert len(read(document)) == len(document["samples"])

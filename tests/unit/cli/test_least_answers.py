"""A proxy of another version, or a fake one, may answer no more than it must: that can be shown."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from click.testing import CliRunner

from sockproxy.cli import connections, status
from sockproxy.errors import SockproxyError
from sockproxy.proxy.answers import SHAPES, read_answer
from sockproxy.top.rows import Meter, proxy_rows
from sockproxy.top.screen import View
from tests.support.scrape import scrape

SIMPLE = ("", 0, False, 0.5)


def least(shape):
    """A value that has this shape, and nothing more; lists have one entry."""
    if isinstance(shape, Mapping):
        return {key: least(each) for key, each in shape.items()}
    if isinstance(shape, list | tuple):
        return [least(each) for each in shape]
    return next(value for value in SIMPLE if shape(value))


def answer_to(question):
    document = {**least(SHAPES[question]), "name": "fake"}
    return read_answer("fake", question, json.dumps(document).encode())


@pytest.mark.parametrize(
    ("module", "command"), [(status, status.status), (connections, connections.connections)]
)
def test_it_is_shown(monkeypatch, module, command):
    answer = answer_to(command.name)
    monkeypatch.setattr(module, "gather", lambda *_: ([answer], [], []))
    done = CliRunner().invoke(command, standalone_mode=False)
    assert done.exception is None
    assert "fake" in done.output


def test_it_is_a_row_of_top():
    rows = Meter().measure(proxy_rows(answer_to("connections")), 1.0)
    assert View().shown(rows) == rows
    assert rows


def test_it_does_not_spoil_a_scrape(monkeypatch):
    text = scrape(monkeypatch, {"fake": answer_to("metrics")})
    assert 'sockproxy_up{kind="proxy",name="fake"} 1.0' in text
    assert 'sockproxy_proxy_budget_bytes{proxy="fake"}' in text


@pytest.mark.parametrize("key", ["lives", "sizes"])
@pytest.mark.parametrize("count", [0, 1, 11])
def test_classes_of_another_number_are_no_answer(key, count):
    document = {**least(SHAPES["metrics"]), "name": "fake", key: [0] * count}
    with pytest.raises(SockproxyError, match="no proper answer"):
        read_answer("fake", "metrics", json.dumps(document).encode())

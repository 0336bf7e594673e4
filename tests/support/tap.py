"""A tap on the bypass NAME, and what its pieces say."""

from __future__ import annotations

import contextlib
from collections import defaultdict

import pytest

from sockproxy.bpf.tap import Tap
from sockproxy.net.rules import parse_rule
from sockproxy.rundir import pins
from tests.support.bypass import NAME

SIZE = 32 << 20


@contextlib.contextmanager
def tapping(*rules, size=SIZE):
    with pins.opened(NAME, pytest.fail) as folder:
        made = Tap(NAME, folder, [parse_rule(each, deny=False) for each in rules], size)
    with contextlib.closing(made):
        yield made


def streams(pieces):
    """What each end has sent, by its address, from its first byte on."""
    found = defaultdict(bytes)
    for each in pieces:
        assert each.at == len(found[each.local])
        found[each.local] += each.data
    return dict(found)

"""Splicers: as the library makes them, eager, and relaying."""

from __future__ import annotations

import pytest

import sockproxy


@pytest.fixture(params=["auto", "eager", "relay"])
def splicer(request):
    options = {request.param: True} if request.param != "auto" else {}
    with sockproxy.Splicer(pairs=64, **options) as splicer:
        assert splicer.accelerated == (request.param != "relay"), splicer.why_not
        yield splicer


@pytest.fixture
def accelerated():
    """The kernel moves all that it can, from the first byte."""
    with sockproxy.Splicer(pairs=64, eager=True) as splicer:
        assert splicer.accelerated, splicer.why_not
        yield splicer

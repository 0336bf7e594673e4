"""A splicer of each kind, without BPF, and sockets for it."""

from __future__ import annotations

import pytest

import sockproxy
from sockproxy.splicer import acceleration
from tests.support.fake_kernel import FakeKernel
from tests.support.sockets import tcp_pair


@pytest.fixture(params=["relay", "auto", "eager"])
def splicer(request, monkeypatch):
    """Relaying, and on a kernel that takes every direction through all its states."""
    relay = request.param == "relay"
    monkeypatch.setattr(acceleration, "SockmapKernel", lambda *_, **__: FakeKernel())
    with sockproxy.Splicer(relay=relay, eager=request.param == "eager", force=True) as splicer:
        assert splicer.accelerated != relay
        yield splicer


@pytest.fixture
def four():
    """client, a, b, server: what a and b are spliced for."""
    client, a = tcp_pair()
    server, b = tcp_pair()
    with client, a, b, server:
        yield client, a, b, server

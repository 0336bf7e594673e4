"""What a bypass does with streams however they are cut and sent: bypassed, and passed."""

from __future__ import annotations

import os

import pytest

from sockproxy.cgroup import create_owned
from tests.support.bypass import ALL_READERS, converse, sockproxy, told_of
from tests.support.cuts import BLOCKING, CUTS, KINDS, end, stream_cut, total
from tests.support.sockets import tcp_pair

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass")]

NAME = f"test-data-{os.getpid()}"


@pytest.fixture(scope="module")
def attached():
    group = create_owned("data")
    try:
        sockproxy("attach", NAME, "--cgroup", group.path, *ALL_READERS)
        yield group
        sockproxy("detach", NAME)
    finally:
        group.remove()


@pytest.fixture
def pair(attached):
    with attached.entered():
        one, other = tcp_pair()
    with one, other:
        yield one, other


@pytest.mark.parametrize("blocking", BLOCKING)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", CUTS)
def test_bypassed(pair, cut, kind, blocking):
    """Straight into the other end's queue; what is too much for that at once goes by TCP."""
    one, other = pair
    converse(one, other, size=4096)
    before = told_of(one, NAME)["bypassed_messages"]
    stream_cut(one, other, cut, kind, blocking)
    assert told_of(one, NAME)["bypassed_messages"] > before
    end(one, other)


@pytest.mark.parametrize("blocking", BLOCKING)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", CUTS)
def test_passed(pair, cut, kind, blocking):
    """Nobody has answered yet, so that nothing may be bypassed: the sk_msg program passes."""
    one, other = pair
    assert told_of(one, NAME)["state"] == "passing"
    stream_cut(one, other, cut, kind, blocking)
    told = told_of(one, NAME)
    assert (told["bypassed_messages"], told["passed_bytes"]) == (0, total(cut))
    end(one, other)

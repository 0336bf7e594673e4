"""Short connections to a service are left out while they come in a row (bpf/bypass/worth.h)."""

from __future__ import annotations

import contextlib
import select
import socket
import time

import pytest

from sockproxy.bypass.attach import attach
from sockproxy.bypass.detach import detach
from sockproxy.bypass.options import BypassOptions
from tests.support.bypass import NAME, status
from tests.support.scale import patience

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass")]

LOSSES = 8
TRIED_AGAIN = 1.2  # seconds after the last that was not left out


@pytest.fixture
def listener(group):
    """Of a bypass that leaves plain what is in blocking mode; itself it is in the other."""
    assert not attach(NAME, group.path, BypassOptions(any_reader=True, force=True)).observes
    try:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            sock.setblocking(False)
            yield sock
    finally:
        assert detach(NAME, 10).drained


def connect(listener, *, blocking):
    """Both ends of a new connection."""
    sock = socket.socket()
    sock.setblocking(blocking)
    with contextlib.suppress(BlockingIOError):
        sock.connect(listener.getsockname())
    assert select.select([listener], [], [], patience(10))[0]
    other = listener.accept()[0]
    other.setblocking(False)
    return sock, other


def come_and_go(listener, times, *, blocking):
    for _ in range(times):
        for each in connect(listener, blocking=blocking):
            each.close()


def enrolled():
    return status()["enrolled"]


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "not"])
def test_short_ones_in_a_row(listener, blocking):
    come_and_go(listener, LOSSES + 8, blocking=blocking)
    before = enrolled()
    come_and_go(listener, 20, blocking=blocking)
    assert enrolled() == before
    assert status()["no_gain"] >= 40
    time.sleep(TRIED_AGAIN)
    come_and_go(listener, 1, blocking=blocking)
    assert enrolled() == before + 2


def test_blocking_ones_do_not_shut_out_others_of_their_process(listener):
    """The mode of one socket says nothing of what its program opens next."""
    come_and_go(listener, LOSSES + 8, blocking=True)
    before = enrolled()
    one, other = connect(listener, blocking=False)
    with one, other:
        assert enrolled() == before + 2

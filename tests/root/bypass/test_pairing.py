"""Bypass: which sockets are the two ends of one connection, and who says so."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import subprocess
import threading

import pytest
from pyroute2 import NetNS

from sockproxy.net.tcp import socket_cookie
from tests.support.bypass import NAME, assert_paired, connections, sockproxy, status
from tests.support.namespace import Namespace
from tests.support.scale import patience
from tests.support.sockets import eventually, receive, tcp_pair
from tests.support.wire import ACK, SYN, Wire

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("observe")]


def meet(listener, client_in=None, address=None):
    """A connection as (client, server)."""
    listener.settimeout(patience(10))
    make = lambda: socket.create_connection(address or listener.getsockname()[:2], patience(10))  # noqa: E731
    client = client_in.socket(make) if client_in else make()
    server, _ = listener.accept()
    return client, server


# -- pairing ----------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_both_ends_here_are_paired(attached, host):
    one, other = tcp_pair(host)
    with one, other:
        assert_paired(one, other)
        one.sendall(b"x" * 1000)
        receive(other, 1000)
        seen = connections()[socket_cookie(other)]
        assert (seen["bytes_received"], seen["cgroup"]) == (1000, str(attached.path))
    eventually(lambda: status()["closed"] == 2)
    counts = status()
    assert (counts["enrolled"], counts["paired"], counts["paired_bytes"]) == (2, 1, 1000)


def test_v4_mapped(attached):
    with socket.socket(socket.AF_INET6) as listener:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::", 0))
        listener.listen()
        client, server = meet(listener, address=("127.0.0.1", listener.getsockname()[1]))
        with client, server:
            assert_paired(client, server)


def test_between_namespaces_and_equal_tuples(attached, two_namespaces):
    """The same addresses and ports exist in a third namespace at the same time."""
    twin = [Namespace(f"{NAME}-twin")]
    try:
        with NetNS(twin[0].name) as ns:
            lo = ns.link_lookup(ifname="lo")[0]
            for number in (1, 2):
                ns.addr("add", index=lo, address=f"10.99.0.{number}", prefixlen=32)
        pairs = []
        with contextlib.ExitStack() as stack:
            for client_side, server_side in (two_namespaces, twin * 2):
                listener = server_side.socket(lambda: socket.create_server(("10.99.0.2", 7000)))
                stack.enter_context(listener)

                def connect():
                    sock = socket.socket()
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    sock.bind(("10.99.0.1", 5000))
                    sock.connect(("10.99.0.2", 7000))
                    return sock

                client = stack.enter_context(client_side.socket(connect))
                server = stack.enter_context(listener.accept()[0])
                pairs.append((client, server))
            assert pairs[0][0].getsockname() == pairs[1][0].getsockname()
            for client, server in pairs:
                assert_paired(client, server)
    finally:
        twin[0].remove()


@pytest.mark.tools("iptables", "ip")
def test_through_destination_nat(attached, two_namespaces):
    one = two_namespaces[0]
    rule = ["-p", "tcp", "-d", "192.0.2.1", "--dport", "80"]
    with NetNS(one.name) as ns:
        ns.route("add", dst="192.0.2.0/24", gateway="10.99.0.2")
    one.run("iptables", "-t", "nat", "-A", "OUTPUT", *rule, "-j", "REDIRECT", "--to-ports", "7000")
    listener = one.socket(lambda: socket.create_server(("0.0.0.0", 7000)))
    with listener:
        client, server = meet(listener, one, ("192.0.2.1", 80))
        with client, server:
            assert_paired(client, server)


def connect_when_free(client, address):
    """Connect from a port whose last ACK may still wait for its softirq, on a busy machine."""

    def connected():
        try:
            client.connect(address)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            return False
        return True

    eventually(connected)


def test_a_port_that_is_used_again_at_once(attached):
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        for number in range(30):
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                client.bind(("127.0.0.1", port))
                connect_when_free(client, listener.getsockname())
                server, _ = listener.accept()
                with server:
                    if number % 10 == 0:
                        assert_paired(client, server)
                    # A reset, so that nothing is left in TIME_WAIT; then without.
                    if number % 2:
                        linger = struct.pack("ii", 1, 0)
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    else:
                        server.close()
                        client.close()
    assert status()["paired"] == 30


def test_many_at_once_each_with_its_own(attached):
    ends = []

    def work():
        for _ in range(100):
            ends.append(tcp_pair())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = connections()
    for one, other in ends:
        assert seen[socket_cookie(one)]["peer"] == socket_cookie(other)
        assert seen[socket_cookie(other)]["peer"] == socket_cookie(one)
        one.close()
        other.close()


# -- what stays plain --------------------------------------------------------------------


def test_an_end_outside_of_the_cgroup(attached):
    script = (
        "import socket, sys\n"
        "s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)\n"
        "c, _ = s.accept(); sys.stdin.read()"
    )
    leave = attached.path.parent.parent / "cgroup.procs"
    outside = subprocess.Popen(
        ["python3", "-c", f"open({str(leave)!r}, 'w').write('0')\n{script}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with outside:
        port = int(outside.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), patience(10)) as client:
            seen = connections()[socket_cookie(client)]
            assert (seen["state"], seen["peer"]) == ("plain", None)
            assert "not on this host" in seen["why"]
        outside.stdin.close()


def test_a_remote_host_that_copies_numbers(attached, two_namespaces):
    """It opens a connection to us with the number that we opened one to it with, and
    answers that one with the number that we answered: both have the same two numbers."""
    inner, outer = two_namespaces

    def packet_socket():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        sock.bind(("v0", 0))
        sock.settimeout(patience(5))
        return sock

    macs = []
    for each in (outer, inner):
        with NetNS(each.name) as ns:
            text = ns.get_links(ifname="v0")[0].get_attr("IFLA_ADDRESS")
            macs.append(bytes.fromhex(text.replace(":", "")))
    with NetNS(inner.name) as ns:
        index = ns.link_lookup(ifname="v0")[0]
        lladdr = ":".join(f"{byte:02x}" for byte in macs[0])
        ns.neigh("add", dst="10.99.0.9", lladdr=lladdr, ifindex=index, state=0x80)
    listener = inner.socket(lambda: socket.create_server(("10.99.0.1", 7000)))
    client = inner.socket(socket.socket)
    client.setblocking(False)
    sock = outer.socket(packet_socket)
    wire = Wire(sock, "10.99.0.9", "10.99.0.1", macs)
    with listener, client, sock:
        listener.settimeout(patience(5))
        client.connect_ex(("10.99.0.9", 80))
        port, opened, _ = wire.hear(80, SYN)
        wire.send((5555, 7000), opened, 0, SYN)
        _, answered, _ = wire.hear(5555, SYN | ACK)
        wire.send((80, port), answered, opened + 1, SYN | ACK)
        wire.hear(80, ACK)
        wire.send((5555, 7000), opened + 1, answered + 1, ACK)
        server, _ = listener.accept()
        with server:
            seen = connections()
            for each in (client, server):
                assert seen[socket_cookie(each)]["state"] == "plain", seen
        # TCP would go on to send to a host that is not there.
        for each in (client, server):
            if each.fileno() >= 0:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_rules_in_place(attached):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def state(*rules):
            out = sockproxy("attach", NAME, "--cgroup", attached.path, "--observe", *rules)
            assert "changed" in out
            client, server = meet(listener)
            with client, server:
                return connections()[socket_cookie(client)]["state"]

        assert state("--deny", port) == "plain"
        assert state("--deny", "127.0.0.0/8") == "plain"
        assert state("--deny", "0.0.0.0/0") == "plain"
        assert state("--deny", "::/0") == "paired"
        assert state("--deny", "0-65535") == "plain"
        assert state("--deny", "10.0.0.0/8", "--deny", "::1") == "paired"
        assert state("--allow", port) == "paired"
        assert state("--allow", "1-10") == "plain"
        assert state("--allow", "127.0.0.1", "--deny", port) == "plain"
        assert status()["rules"] == [f"deny {port}", "allow 127.0.0.1/32"]
        assert state() == "paired"
        assert status()["policy"] == 12


# -- attaching ---------------------------------------------------------------------------


@pytest.mark.alone  # it attaches to the cgroup that the tests of others have theirs in
def test_two_names_on_one_cgroup_and_one_above(attached):
    other = f"{NAME}-b"
    sockproxy("attach", other, "--cgroup", attached.path.parent, "--observe")
    try:
        one, other_end = tcp_pair()
        with one, other_end:
            assert_paired(one, other_end)
            assert_paired(one, other_end, other)
    finally:
        sockproxy("detach", other)
    assert status()["paired"] == 1

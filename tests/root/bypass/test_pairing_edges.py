"""Pairing at the edges of TCP: paired rightly or left plain, and the bytes are right."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path

import pytest
from pyroute2 import NetNS

from sockproxy.net.tcp import socket_cookie
from tests.support.bypass import NAME, assert_paired, connections, status
from tests.support.namespace import Namespace
from tests.support.scale import patience, scaled
from tests.support.sockets import eventually, receive, seen_waiting

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass")]

ROUNDS = 50
WAIT = patience(20)


def counted(namespace, name):
    """A counter of the namespace's TcpExt."""

    def read():
        lines = Path("/proc/thread-self/net/netstat").read_text().splitlines()
        return dict(zip(lines[0].split(), lines[1].split(), strict=True))

    return int(namespace.socket(read)[name])


def serve(backlog=64, options=(), host="127.0.0.1"):
    listener = socket.socket()
    for option, value in options:
        listener.setsockopt(socket.IPPROTO_TCP, option, value)
    listener.bind((host, 0))
    listener.listen(backlog)
    listener.settimeout(WAIT)
    return listener


def prompt(sock):
    """The socket, which neither hesitates nor waits for ever."""
    sock.settimeout(WAIT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def connect(address, port=0, host="127.0.0.1"):
    sock = socket.socket()
    prompt(sock).setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if port or host != "127.0.0.1":
        sock.bind((host, port))
    sock.connect(address)
    return sock


def accept(listener):
    return prompt(listener.accept()[0])


def talk(one, other, rounds=ROUNDS):
    """Requests and answers of many sizes, each compared."""
    seen_waiting(one), seen_waiting(other)
    for number in range(rounds):
        for source, target, mark in ((one, other, b"?"), (other, one, b"!")):
            text = b"%d%s" % (number, mark) * (1 + 37 * number % 400)
            source.sendall(text)
            assert receive(target, len(text)) == text


def seen_of(*socks):
    found = connections()
    return [found[cookie] for sock in socks if (cookie := socket_cookie(sock)) in found]


def talk_paired(one, other):
    talk(one, other)
    assert_paired(one, other)
    assert all(each["bypassed_messages"] > ROUNDS // 2 for each in seen_of(one, other))


def talk_plain(one, other):
    talk(one, other)
    for each in seen_of(one, other):
        assert (each["peer"], each["bypassed_messages"]) == (None, 0), each


# -- handshakes ---------------------------------------------------------------------------


def test_syn_cookies(bypassed, inside):
    inside.tune(tcp_syncookies=2)
    with inside.socket(serve) as listener:
        one = inside.socket(lambda: connect(listener.getsockname()))
        with one, accept(listener) as other:
            assert counted(inside, "SyncookiesRecv") == 1
            talk_paired(one, other)


def test_fast_open_with_data(bypassed, inside):
    """The end that accepts is established first, and stays plain; with a cookie only."""
    inside.tune(tcp_fastopen=3)
    with inside.socket(lambda: serve(options=[(socket.TCP_FASTOPEN, 5)])) as listener:
        for number in range(3):
            one = inside.socket(socket.socket)
            # Not with a time-out: Python would not wait for the handshake.
            one.sendto(b"early", socket.MSG_FASTOPEN, listener.getsockname())
            with prompt(one), accept(listener) as other:
                assert receive(other, 5) == b"early"
                (talk_plain if number else talk_paired)(one, other)
        assert counted(inside, "TCPFastOpenPassive") == 2


@pytest.mark.tools("iptables", "ip")
@pytest.mark.parametrize("pause", [0, 0.4])
def test_simultaneous_open(bypassed, inside, pause):
    """Both SYNs are lost and sent again after a second: at once, so that they cross and
    neither end is an opener; or one of them first, which finds an end that opens as well."""
    lose = ["INPUT", "-p", "tcp", "--syn", "-j", "DROP"]
    inside.run("iptables", "-A", *lose)
    ends = [inside.socket(socket.socket) for _ in range(2)]
    for each in ends:
        each.bind(("127.0.0.1", 0))
        each.setblocking(False)
    with ends[0], ends[1]:
        for one, other in (ends, ends[::-1]):
            one.connect_ex(other.getsockname())
            time.sleep(pause)
        inside.run("iptables", "-D", *lose)
        eventually(lambda: len(seen_of(*ends)) == 2)
        crossed = {each["role"] for each in seen_of(*ends)} == {"accepter"}
        assert not (crossed and pause)
        (talk_plain if crossed else talk_paired)(*map(prompt, ends))


def test_a_socket_that_connects_to_itself(bypassed):
    with prompt(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.connect(sock.getsockname())
        talk_plain(sock, sock)


def test_ports_in_time_wait_used_again(bypassed, inside):
    """The same two addresses 200 times; either end closes first."""
    inside.tune(tcp_tw_reuse=1)
    # Linux 6.14 and later; before, a port is not used again for a second.
    quick = Path("/proc/sys/net/ipv4/tcp_tw_reuse_delay").exists()
    times = scaled(200, 20) if quick else 6
    if quick:
        inside.tune(tcp_tw_reuse_delay=1)
    with inside.socket(serve) as listener:
        for number in range(times):
            one = inside.socket(lambda: connect(listener.getsockname(), 5000))
            other = accept(listener)
            talk(one, other, 8)
            if number % 20 == 0:
                assert_paired(one, other)
            for each in (one, other) if number % 2 else (other, one):
                each.close()
            time.sleep(0.002 if quick else 1.1)
    assert status()["paired"] == times
    assert counted(inside, "TWRecycled") >= times // 2 - 1


# -- accepting ----------------------------------------------------------------------------


def test_accepted_when_data_comes(bypassed):
    options = [(socket.TCP_DEFER_ACCEPT, 5)]
    with serve(options=options) as listener, connect(listener.getsockname()) as one:
        one.sendall(b"early")
        with accept(listener) as other:
            assert receive(other, 5) == b"early"
            talk_paired(one, other)


def test_accepted_late(bypassed):
    with serve() as listener, connect(listener.getsockname()) as one:
        one.sendall(b"early")
        time.sleep(2)
        with accept(listener) as other:
            assert receive(other, 5) == b"early"
            talk_paired(one, other)


def test_the_accepter_speaks_first(bypassed):
    with serve() as listener, connect(listener.getsockname()) as one, accept(listener) as other:
        talk_paired(other, one)


def test_a_full_accept_queue(bypassed, inside):
    """Openers are established, and their data sent again, before there is an accepter."""
    make = lambda: serve(16, [(socket.TCP_DEFER_ACCEPT, 30)])  # noqa: E731
    with inside.socket(make) as listener, contextlib.ExitStack() as stack:
        ones = [inside.socket(lambda: connect(listener.getsockname())) for _ in range(6)]
        listener.listen(1)
        for number, each in enumerate(ones):
            stack.enter_context(each).sendall(b"%d" % number)
        eventually(lambda: counted(inside, "ListenOverflows") > 0)
        for _ in ones:
            other = stack.enter_context(accept(listener))
            one = ones[int(receive(other, 1))]
            assert one.getsockname() == other.getpeername()
            talk_paired(one, other)


# -- what stays plain ---------------------------------------------------------------------


@pytest.mark.tools("iptables", "ip")
def test_through_source_nat(bypassed, inside):
    far = Namespace(f"{NAME}-far")
    try:
        with NetNS(inside.name) as ns:
            ns.link("add", ifname="v0", kind="veth", peer={"ifname": "v0", "net_ns_fd": far.name})
            ns.addr("add", index=ns.link_lookup(ifname="lo")[0], address="10.99.1.1", prefixlen=32)
        for number, each in enumerate((inside, far)):
            with NetNS(each.name) as ns:
                index = ns.link_lookup(ifname="v0")[0]
                ns.addr("add", index=index, address=f"10.99.0.{number + 1}", prefixlen=24)
                ns.link("set", index=index, state="up")
        inside.run("iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "v0", "-j", "MASQUERADE")
        with far.socket(lambda: serve(host="10.99.0.2")) as listener:
            one = inside.socket(lambda: connect(listener.getsockname(), 5000, "10.99.1.1"))
            with one, accept(listener) as other:
                assert other.getpeername()[0] == "10.99.0.1"
                talk_plain(one, other)
    finally:
        far.remove()


@pytest.mark.skipif(not Path("/proc/sys/net/mptcp").exists(), reason="the kernel has no MPTCP")
@pytest.mark.parametrize("opener", [True, False], ids=["mptcp-opens", "tcp-opens"])
@pytest.mark.parametrize("accepter", [True, False], ids=["mptcp-accepts", "tcp-accepts"])
def test_multipath(bypassed, opener, accepter):
    """An accepter that speaks MPTCP gets a socket of plain TCP when the opener does not."""
    tcp, multipath = socket.IPPROTO_TCP, socket.IPPROTO_MPTCP
    with socket.socket(proto=multipath if accepter else tcp) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.socket(proto=multipath if opener else tcp) as one:
            one.connect(listener.getsockname())
            with accept(listener) as other:
                talk(prompt(one), other)
                counts = status()
                if opener or accepter:
                    assert (counts["paired"], counts["bypassed_messages"]) == (0, 0)
                else:
                    assert counts["bypassed_messages"] > 0
                # An accepter's subflow belongs to the kernel, even where it has fallen back.
                assert counts["multipath"] == opener + (opener and accepter)
                assert counts["owned"] == (accepter and not opener)

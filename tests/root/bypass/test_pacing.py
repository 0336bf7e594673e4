"""Ends of connections within this host that begin with BBR are not paced once they stream."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading

import pytest
from pyroute2 import NetNS

from sockproxy.bypass.attach import attach
from sockproxy.bypass.detach import detach
from sockproxy.bypass.options import BypassOptions
from sockproxy.net.rules import parse_rule
from sockproxy.net.tcp import TCP_CONGESTION
from tests.support.bypass import NAME, sockproxy, status, told_of
from tests.support.pattern import Pattern
from tests.support.scale import patience
from tests.support.sockets import disconnect, receive

pytestmark = [
    pytest.mark.root,
    pytest.mark.bpf,
    pytest.mark.on("bypass"),
    pytest.mark.congestion("bbr", "reno"),
]

BBR, RENO = "bbr", "reno"
ENOUGH = 1 << 20  # bytes, for an end to change
ALL = BypassOptions(blocking_readers=True, any_reader=True)
KEPT = {
    "by option": BypassOptions(blocking_readers=True, any_reader=True, keep_pacing=True),
    "observed": BypassOptions(observe=True),
    "denied": BypassOptions(rules=[parse_rule("127.0.0.0/8", deny=True)]),
    "left alone": BypassOptions(programs=["python3", "python3.11", sys.executable]),
    "blocking and denied": BypassOptions(rules=[parse_rule("1-65535", deny=True)]),
}


def chosen(sock):
    """The congestion control of the socket."""
    name = sock.getsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, 16)
    return name.rstrip(b"\0").decode()


def choose(sock, name):
    sock.setsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, name.encode())


@contextlib.contextmanager
def attached(group, options):
    attach(NAME, group.path, options)
    try:
        yield
    finally:
        assert detach(NAME, 10).drained


@contextlib.contextmanager
def opened(inside, prepare=lambda client, listener: None, host="127.0.0.1"):
    """Both ends of a connection in the namespace, before anything is said."""
    client = inside.socket(socket.socket)
    with inside.socket(lambda: socket.create_server((host, 0))) as listener, client:
        prepare(client, listener)
        client.connect(listener.getsockname())
        server, _ = listener.accept()
        with server:
            for each in (client, server):
                each.settimeout(patience(20))
            yield client, server


def stream(source, target, amount=ENOUGH, write=1 << 16):
    """So many bytes from one to the other, each compared."""
    sent = Pattern(5)

    def send():
        for offset in range(0, amount, write):
            source.sendall(sent.at(offset, write))

    thread = threading.Thread(target=send)
    thread.start()
    for offset in range(0, amount, 1 << 16):
        assert receive(target, 1 << 16) == sent.at(offset, 1 << 16)
    thread.join()


@contextlib.contextmanager
def streamed(*arguments, **options):
    """The same after each has streamed to the other."""
    with opened(*arguments, **options) as (client, server):
        stream(client, server)
        stream(server, client)
        yield client, server


@pytest.fixture
def paced(inside):
    """A namespace whose default is BBR."""
    inside.tune(tcp_congestion_control=BBR)
    return inside


@pytest.mark.parametrize("options", [ALL, BypassOptions()], ids=["enrolled", "plain"])
def test_an_end_that_streams(group, paced, options):
    """By default those that stay plain as they block, too."""
    with attached(group, options), opened(paced) as (client, server):
        assert [chosen(each) for each in (client, server)] == [BBR, BBR]
        stream(client, server)
        assert [chosen(each) for each in (client, server)] == [RENO, BBR]
        stream(server, client)
        assert [chosen(each) for each in (client, server)] == [RENO, RENO]
        for each in (client, server):
            told = told_of(each)
            assert (told["congestion_control"], told["spared"]) == (RENO, BBR)
        assert status()["spared_pacing"] == 2
        assert "reno for bbr" in sockproxy("connections", NAME)
        assert "2 sockets got Reno in place of BBR" in sockproxy("status", NAME)


@pytest.mark.parametrize(
    ("options", "write", "becomes"),
    [(ALL, 1 << 16, RENO), (ALL, 1 << 12, BBR), (BypassOptions(), 1 << 16, BBR)],
    ids=["large writes", "small writes", "writes that nobody sees"],
)
def test_with_nodelay_only_large_writes(group, paced, options, write, becomes):
    """A timer puts small writes together that nothing else holds back."""
    for way in (1, -1):
        with attached(group, options), opened(paced) as ends:
            source, target = ends[::way]
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream(source, target, write=write)
            assert chosen(source) == becomes


def between(namespaces):
    """Both ends of a connection through the veth."""
    with namespaces[1].socket(lambda: socket.create_server(("10.99.0.2", 0))) as listener:
        address = listener.getsockname()
        client = namespaces[0].socket(lambda: socket.create_connection(address))
        ends = client, listener.accept()[0]
    for each in ends:
        each.settimeout(patience(20))
    return ends


@pytest.mark.parametrize(("size", "becomes"), [(1500, BBR), (65000, RENO)])
def test_only_where_segments_are_large(bypassed, two_namespaces, size, becomes):
    """Reno after BBR is slower where they are small."""
    for each in two_namespaces:
        each.tune(tcp_congestion_control=BBR)
        with NetNS(each.name) as ns:
            ns.link("set", index=ns.link_lookup(ifname="v0")[0], mtu=size)
    client, server = between(two_namespaces)
    with client, server:
        stream(client, server)
        stream(server, client)
        assert [chosen(each) for each in (client, server)] == [becomes, becomes]


def test_between_namespaces_of_other_defaults(bypassed, two_namespaces):
    """One that does not pace keeps what it has."""
    for each, control in zip(two_namespaces, (BBR, RENO), strict=True):
        each.tune(tcp_congestion_control=control)
        with NetNS(each.name) as ns:
            ns.link("set", index=ns.link_lookup(ifname="v0")[0], mtu=65000)
    client, server = between(two_namespaces)
    with client, server:
        stream(client, server)
        assert told_of(client)["spared"] == BBR
        assert told_of(server)["spared"] is None


@pytest.mark.parametrize("options", KEPT.values(), ids=KEPT)
def test_what_is_left_as_it_is(group, paced, options):
    with attached(group, options), streamed(paced) as ends:
        assert [chosen(each) for each in ends] == [BBR, BBR]
        assert status()["spared_pacing"] == 0


@pytest.mark.parametrize("of", ["client", "listener"])
def test_what_a_program_has_chosen(bypassed, paced, of):
    """A listener hands on what was chosen for it."""

    def prepare(client, listener):
        choose(client if of == "client" else listener, BBR)

    with streamed(paced, prepare) as (client, server):
        mine, other = (client, server) if of == "client" else (server, client)
        assert [chosen(mine), chosen(other)] == [BBR, RENO]


@pytest.mark.parametrize("name", [BBR, "cubic"])
def test_what_a_program_chooses_in_between(bypassed, paced, name):
    with opened(paced) as (client, server):
        choose(client, name)
        stream(client, server)
        assert chosen(client) == name
        assert told_of(client)["spared"] is None


def test_what_a_program_chooses_afterwards(bypassed, paced):
    """It is told as it is, and the next connection of the socket has it too."""
    with streamed(paced) as (client, _):
        assert chosen(client) == RENO
        choose(client, "cubic")
        told = told_of(client)
        assert (told["congestion_control"], told["spared"]) == ("cubic", None)
        disconnect(client)
        assert chosen(client) == "cubic"


@pytest.mark.tools("tc")
def test_a_long_way_within_the_host(bypassed, paced):
    """A qdisc that acts like a network may lose something, too."""
    rate = ["rate", "256kbit", "burst", "1600", "latency", "5s"]
    paced.run("tc", "qdisc", "add", "dev", "lo", "root", "tbf", *rate)

    def use_the_burst_up(*_):
        with paced.socket(lambda: socket.socket(type=socket.SOCK_DGRAM)) as sock:
            for _ in range(3):
                sock.sendto(bytes(1400), ("127.0.0.1", 9))

    with opened(paced, use_the_burst_up) as ends:
        paced.run("tc", "qdisc", "del", "dev", "lo", "root")
        stream(*ends)
        stream(*ends[::-1])
        assert [chosen(each) for each in ends] == [BBR, BBR]


def test_other_options_before_it_streams(group, paced):
    with attached(group, ALL), opened(paced) as ends:
        attach(NAME, group.path, KEPT["by option"])
        stream(*ends)
        assert chosen(ends[0]) == BBR


@pytest.mark.tools("ip")
def test_what_a_route_locks(bypassed, paced):
    where = ["local", "127.7.0.0/16", "dev", "lo"]
    paced.run("ip", "route", "add", *where, "table", "local", "congctl", "lock", BBR)
    with streamed(paced, host="127.7.0.1") as ends:
        assert [chosen(each) for each in ends] == [BBR, BBR]


def test_the_other_end_is_not_ours(bypassed, paced):
    """As it looks where the other end is on another host: nobody sees it accept."""
    leave = bypassed.path.parent.parent / "cgroup.procs"
    script = (
        f"open({str(leave)!r}, 'w').write('0')\nimport socket, sys\n"
        f"from pyroute2 import netns; netns.setns({paced.name!r})\n"
        "s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)\n"
        "c, _ = s.accept()\nwhile c.recv(1 << 16): pass\n"
    )
    argv = [sys.executable, "-c", script]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as outside:
        port = int(outside.stdout.readline())
        client = paced.socket(lambda: socket.create_connection(("127.0.0.1", port)))
        with client:
            client.sendall(bytes(ENOUGH))
            assert chosen(client) == BBR
            assert told_of(client)["spared"] is None
        outside.stdin.close()
    assert status()["spared_pacing"] == 0


def test_the_next_connection_of_a_socket_begins_as_the_first(bypassed, paced):
    with streamed(paced) as (client, _):
        assert chosen(client) == RENO
        disconnect(client)
        with paced.socket(lambda: socket.create_server(("127.0.0.1", 0))) as listener:
            client.connect(listener.getsockname())
            assert chosen(client) == BBR


@pytest.mark.parametrize("way", [1, -1], ids=["from the opener", "from the accepter"])
def test_a_stream_across_the_change(bypassed, paced, way):
    with opened(paced) as ends:
        stream(*ends[::way], amount=32 << 20, write=1 << 20)
        assert chosen(ends[::way][0]) == RENO

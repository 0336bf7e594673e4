"""`sockproxy tap` of a proxy: the very bytes of both sides, redirected or not."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
import threading
import time

import dpkt
import pytest

from sockproxy.cgroup import find_by_id
from tests.support import refusing
from tests.support.capture import followed, talk, tshark
from tests.support.commands import begun
from tests.support.proxy import run_sockproxy, running_proxy, through
from tests.support.scale import patience, scaled
from tests.support.sockets import eventually

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.timeout(180)]

SIZES = (1, 183, 184, 185, 4000, 4001, 65_536, 300_000)
CGROUP_SKB = 8  # BPF_PROG_TYPE_CGROUP_SKB
INGRESS, EGRESS = 0, 1  # BPF_CGROUP_INET_INGRESS, BPF_CGROUP_INET_EGRESS


@contextlib.contextmanager
def tapped(proxy, path, *options, first=""):
    """`sockproxy tap`, which writes while this is open, and has ended well after it.

    first: what it must have said before it began.
    """
    writing = "writing what"
    with begun(first or writing, "tap", proxy.name, "-w", path, *options) as process:
        assert not first or writing.encode() in process.stderr.readline()
        yield process
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=patience(20))
    assert process.returncode == 0, err


def talk_and_end(client, server, sizes=SIZES):
    """As talk(), and then each sends its FIN."""
    sent = talk(client, server, sizes)
    for source, target in ((client, server), (server, client)):
        source.shutdown(1)
        assert target.recv(1) == b""
    return sent


def packets(path):
    """(IP, TCP) of each packet, as dpkt reads them."""
    found = []
    with path.open("rb") as file:
        for _, data in dpkt.pcapng.Reader(file):
            ip = dpkt.ip.IP(data) if data[0] >> 4 == 4 else dpkt.ip6.IP6(data)
            found.append((ip, ip.data))
    return found


def streams(path):
    """What went each way of each connection, by the ports it went from and to, and how many FINs,
    put together by numbers as TCP's receivers do."""
    first, found, ends = {}, {}, {}
    for _, tcp in packets(path):
        way = tcp.sport, tcp.dport
        if tcp.flags & dpkt.tcp.TH_SYN:
            first[way] = tcp.seq + 1
        stream = found.setdefault(way, bytearray())
        at = (tcp.seq - first[way]) % (1 << 32) if tcp.data else 0
        assert at <= len(stream), "a gap"
        stream[at : at + len(tcp.data)] = tcp.data
        ends[way] = ends.get(way, 0) + bool(tcp.flags & dpkt.tcp.TH_FIN)
    return {way: bytes(stream) for way, stream in found.items()}, ends


@pytest.mark.parametrize("options", [[], ["--eager"], ["--relay"]], ids=["auto", "eager", "relay"])
def test_all_bytes_of_both_sides(listener, tmp_path, options):
    path = tmp_path / "it.pcapng"
    with running_proxy(listener.getsockname(), *options) as proxy:
        if "--relay" in options:
            said = run_sockproxy("tap", proxy.name, "-w", path).stderr
            assert "it only relays, and has no cgroup of its own; tcpdump sees both" in said
            return
        with tapped(proxy, path):
            client, server = through(proxy, listener)
            with client, server:
                ends = client.getsockname()[1], proxy.address[1]
                behind = server.getpeername()[1], listener.getsockname()[1]
                up, down = talk_and_end(client, server)
        status = proxy.settled()
    found, fins = streams(path)
    assert found == {ends: up, ends[::-1]: down, behind: up, behind[::-1]: down}
    assert set(fins.values()) == {1}
    if options:
        assert status["redirected"] > 0


@pytest.mark.tools("tshark")
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_tshark_follows_both_streams(listener, tmp_path, host):
    path = tmp_path / "it.pcapng"
    with running_proxy(listener.getsockname(), "--eager", listen=f"{host}:0") as proxy:
        with tapped(proxy, path):
            client, server = through(proxy, listener)
            with client, server:
                sent = talk_and_end(client, server, sizes=(1, 100, 5000))
        assert proxy.settled()["redirected"] > 0
    assert path.stat().st_mode & 0o777 == 0o600
    assert followed(path, 0) == followed(path, 1) == list(sent)
    wrong = "_ws.malformed || tcp.checksum.status == 0 || ip.checksum.status == 0"
    assert tshark(path, "-Y", f"{wrong} || tcp.analysis.lost_segment") == ""
    comments = set(tshark(path, "-T", "fields", "-e", "frame.comment").split("\n"))
    assert {"sent", "received by the kernel for the proxy"} <= comments


def test_only_what_a_rule_matches(listener, tmp_path):
    path = tmp_path / "it.pcapng"
    place = listener.getsockname()
    with (
        running_proxy(place, "--eager") as proxy,
        tapped(proxy, path, "--filter", place[1]),
    ):
        sent = converse_once(proxy, listener)
    assert_has_only(path, sent, place[1])


def converse_once(proxy, listener):
    """What a client and a server of one connection have sent."""
    client, server = through(proxy, listener)
    with client, server:
        return talk_and_end(client, server, sizes=(1000,))


def assert_has_only(path, sent, port):
    """The capture has what was sent, once, all of it to or from that port."""
    found, _ = streams(path)
    assert sorted(found.values(), key=len) == sorted(sent, key=len)
    assert all(port in ports for ports in found)


PASSES_A_SOCKET = """
import os, socket, sys
sock = socket.create_server(("127.0.0.1", 0))
os.dup2(sock.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_clients_of_a_socket_that_was_opened_elsewhere(listener, tmp_path):
    """As systemd does: only the other side is of the proxy's cgroup, and that is told."""
    path, place = tmp_path / "it.pcapng", listener.getsockname()
    under = (sys.executable, "-c", PASSES_A_SOCKET)
    with running_proxy(place, listen="systemd", under=under) as proxy:
        assert proxy.status()["listens_on_foreign"]
        with tapped(proxy, path, first="who comes in there is not seen"):
            sent = converse_once(proxy, listener)
    assert_has_only(path, sent, place[1])


def test_memory_is_bounded_and_what_is_lost_is_told(listener, tmp_path):
    """A tap that stands still meanwhile takes nothing from the proxy, and says what it missed."""
    path, size = tmp_path / "it.pcapng", scaled(20_000_000, 2_000_000)
    with running_proxy(listener.getsockname(), "--eager") as proxy:
        begun_tap = begun("writing what", "tap", proxy.name, "-w", path, "--buffer", "64KiB")
        with begun_tap as process:
            process.send_signal(signal.SIGSTOP)
            client, server = through(proxy, listener)
            with client, server:
                talk_and_end(client, server, sizes=(size,))
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=patience(20))
    assert process.returncode == 1
    assert b"more were lost: use a larger --buffer, or a --filter" in err
    assert 0 < path.stat().st_size < 256 << 10


@pytest.mark.parametrize("option", ["--for=1s", "--size=1MiB"])
def test_its_bounds_hold_while_there_is_always_more(listener, tmp_path, option):
    """The proxy carries a stream for as long as the tap lives."""
    with running_proxy(listener.getsockname(), "--eager") as proxy:
        client, server = through(proxy, listener)
        over = threading.Event()
        with client, server:
            sender = threading.Thread(target=keep_sending, args=(client, over))
            reader = threading.Thread(target=read_all, args=(server,))
            sender.start(), reader.start()
            try:
                name, path = proxy.name, tmp_path / "it.pcapng"
                done = run_sockproxy("tap", name, "-w", path, option, "--buffer=1MiB")
            finally:
                over.set()
                sender.join()
                reader.join()
    assert done.returncode in (0, 1), done.stderr
    assert path.stat().st_size > 0


def keep_sending(sock, over):
    while not over.is_set():
        sock.sendall(b"." * 100_000)
    sock.shutdown(socket.SHUT_WR)


def read_all(sock):
    while sock.recv(1 << 20):
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_with_the_proxy(listener, tmp_path, number):
    code = -number if number == signal.SIGKILL else 0
    with (
        running_proxy(listener.getsockname(), "--eager", exit_code=code) as proxy,
        begun("writing what", "tap", proxy.name, "-w", tmp_path / "it") as process,
    ):
        proxy.signal(number)
        _, err = process.communicate(timeout=patience(20))
    assert process.returncode == 0, err
    assert b"its process has ended" in err
    with running_proxy(listener.getsockname()):
        pass  # removes what a killed one has left


def test_one_that_is_killed_leaves_nothing(listener, tmp_path):
    with running_proxy(listener.getsockname(), "--eager") as proxy:
        assert programs(proxy) == 0
        with begun("writing what", "tap", proxy.name, "-w", tmp_path / "it") as process:
            assert programs(proxy) == 2
            process.kill()
            process.wait()
        eventually(lambda: programs(proxy) == 0)
        client, server = through(proxy, listener)
        with client, server:
            talk_and_end(client, server, sizes=(1000,))


def programs(proxy):
    """How many BPF programs look at what the sockets of a proxy's cgroup receive and send."""
    libbpf, count, flags = ctypes.CDLL("libbpf.so.1"), ctypes.c_uint(64), ctypes.c_uint()
    found = 0
    (group,) = find_by_id([proxy.status()["cgroup_id"]]).values()
    with group.opened() as fd:
        for kind in INGRESS, EGRESS:
            ids = (ctypes.c_uint * count.value)()
            where = ctypes.byref(flags), ids, ctypes.byref(count)
            assert not libbpf.bpf_prog_query(fd, kind, 0, *where)
            found, count = found + count.value, ctypes.c_uint(64)
    return found


def test_a_kernel_that_refuses(listener, tmp_path):
    refused = os.environ | refusing.environment(kinds=f"{CGROUP_SKB}:*:*")
    with running_proxy(listener.getsockname(), "--eager") as proxy:
        done = run_sockproxy("tap", proxy.name, "-w", tmp_path / "it", env=refused)
    assert done.returncode != 0
    assert "load packets.bpf.o" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "it").exists()


def test_what_cannot_be_done(listener, tmp_path):
    with running_proxy(listener.getsockname()) as proxy:
        rules = [part for port in range(1, 34) for part in ("--filter", str(port))]
        done = run_sockproxy("tap", proxy.name, "-w", tmp_path / "it", *rules)
    assert done.returncode == 2
    assert "33 rules; at most 32 are possible" in done.stderr
    assert run_sockproxy("tap", "nobody", "--proxy", "-w", tmp_path / "it").returncode != 0

"""Short-circuit: what becomes of it when the proxy, the bypass or a reader does not go on."""

from __future__ import annotations

import contextlib
import signal
import time

import pytest

from tests.support.bypass import connections, converse
from tests.support.memory import peak_memory
from tests.support.pattern import Checker, Pattern
from tests.support.proxy import running_proxy
from tests.support.scale import patience, scaled
from tests.support.short_circuit import (
    goes_past,
    joined,
    past,
    sent_by_tcp,
    until_past,
)
from tests.support.sockets import (
    eventually,
    push_until_blocked,
    receive,
    reset,
    tcp_buffers,
)

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass", "splice")]

MIB = 1 << 20
SMALL = (1, 3, 64, 100, 1000, 4096)


@pytest.fixture
def mesh(shared):
    """A proxy between two ends of one bypass."""
    with past() as mesh:
        yield mesh


def sent_past(sock):
    """Send a byte: whether it went past the proxy, as on a busy machine not each does."""
    before = sent_by_tcp(sock)
    sock.sendall(b"!")
    return sent_by_tcp(sock) == before


# -- the proxy ----------------------------------------------------------------------------


def test_a_proxy_that_is_killed_ends_all(shared):
    """Both ends are reset, and nothing goes past what is no more: neither what is sent then nor
    what was sent just before, if it has not arrived."""
    with past(exit_code=-signal.SIGKILL) as mesh, contextlib.ExitStack() as stack:
        ends = [stack.enter_context(joined(mesh)) for _ in range(scaled(50, 5))]
        arrived = set()
        for number, (client, server) in enumerate(ends):
            if number % 2 and sent_past((client, server)[number % 4 // 2]):
                arrived.add(number)
        assert arrived
        mesh.proxy.signal(signal.SIGKILL)
        mesh.proxy.process.wait(patience(10))
        for number, (client, server) in enumerate(ends):
            reader = (server, client)[number % 4 // 2]
            if number in arrived:
                assert receive(reader, 1) == b"!"
            elif number % 2:
                continue  # it went by TCP, and the proxy may have had it still
            for sock in (client, server):
                with pytest.raises(ConnectionResetError):
                    sock.recv(1)
                with pytest.raises(BrokenPipeError):
                    sock.sendall(b"?")
        assert not [each for each in connections().values() if each["state"] == "short-circuit"]
    with running_proxy(mesh.proxy.address, "--name", mesh.proxy.name):
        pass  # clears away what was left


def test_a_proxy_that_is_killed_in_the_midst_of_talks(shared):
    """No byte is wrong, and no talk goes on."""
    with past(exit_code=-signal.SIGKILL) as mesh:
        talks = [mesh.talk(seed=seed, turns=10_000_000, sizes=SMALL) for seed in range(4)]
        eventually(lambda: mesh.total() > scaled(2000, 100), 20)
        mesh.proxy.signal(signal.SIGKILL)
        for talk in talks:
            with pytest.raises(AssertionError) as told:
                mesh.finish(talk, timeout=20)
            assert str(told.value).count("Errno") == 2, told.value
    with running_proxy(mesh.proxy.address, "--name", mesh.proxy.name):
        pass


def test_a_proxy_that_is_stopped_is_not_missed(mesh):
    with joined(mesh, size=1000) as (client, server):
        mesh.proxy.signal(signal.SIGSTOP)
        try:
            for _ in range(200):
                converse(client, server, size=1000)
            assert goes_past(client, server)
            # What does not fit waits for it, and all after that.
            client.sendall(bytes(500_000))
            client.sendall(b"last")
        finally:
            mesh.proxy.signal(signal.SIGCONT)
        assert receive(server, 500_004)[-4:] == b"last"
        until_past(client, server)


def test_an_idle_timeout_counts_what_goes_past(shared):
    with past("--idle-timeout", "1s") as mesh, joined(mesh) as (client, server):
        until = time.monotonic() + 3
        while time.monotonic() < until:
            assert goes_past(client, server)
            time.sleep(0.2)
        started = time.monotonic()
        for sock in (client, server):
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        assert 0.7 < time.monotonic() - started < patience(4)
        mesh.proxy.says("idle for 1 s")


def test_sigterm_lets_conversations_finish(shared):
    with past() as mesh:
        talks = [mesh.talk(seed=seed, turns=scaled(30_000, 1000), sizes=SMALL) for seed in range(2)]
        eventually(lambda: mesh.total() > scaled(500, 20), 20)
        mesh.proxy.signal(signal.SIGTERM)
        mesh.proxy.says("stopping")
        mesh.finish(*talks)
        assert mesh.proxy.process.wait(patience(10)) == 0


def test_after_grace_both_ends_are_reset(shared):
    with past("--grace", "300ms") as mesh, joined(mesh) as (client, server):
        mesh.proxy.signal(signal.SIGTERM)
        mesh.proxy.says("stopping")
        assert goes_past(client, server)
        for sock in (client, server):
            with pytest.raises(ConnectionResetError):
                sock.recv(1)


# -- readers ------------------------------------------------------------------------------


@pytest.mark.alone
@pytest.mark.parametrize("chunk", [1000, 16384, MIB])
@pytest.mark.parametrize("who", ["client", "server"])
def test_a_stalled_reader_stops_its_sender(mesh, chunk, who):
    """In what its bypass queue, the proxy and TCP may hold; and all of it arrives."""
    with joined(mesh, size=60_000) as (client, server), peak_memory() as peak:
        one, other = (client, server) if who == "client" else (server, client)
        converse(one, other, size=60_000)  # the reader has sent last, and so granted
        pattern, checker, sent = Pattern(3), Checker(3), 0
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                sent += one.send(pattern.at(sent, chunk))
        if chunk < MIB:
            assert max(each["unread"] for each in connections().values())
        sent += push_pattern(one, pattern, sent)
        assert sent < tcp_buffers() + 3 * MIB
        while checker.offset < sent:
            checker.feed(other.recv(MIB))
        assert peak.beyond_tcp < 64 * MIB


def push_pattern(sock, pattern, sent):
    """What more is taken while nobody reads; the proxy makes room for a while."""
    taken, last = 0, time.monotonic()
    while time.monotonic() - last < patience(0.3):
        try:
            taken += sock.send(pattern.at(sent + taken, MIB))
            last = time.monotonic()
        except BlockingIOError:
            time.sleep(0.001)
    sock.settimeout(patience(20))
    return taken


def test_a_client_that_resets_with_a_stalled_server(mesh):
    for _ in range(scaled(10, 2)):
        with joined(mesh, size=60_000) as (client, server):
            push_until_blocked(client, bytes(16384), quiet=0.1)
            reset(client)
            with pytest.raises(ConnectionResetError):
                while server.recv(MIB):
                    pass
    assert mesh.proxy.settled()["connections_reset"] == scaled(10, 2)

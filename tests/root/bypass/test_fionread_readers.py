"""Where FIONREAD is wrong, nobody who asks it is enrolled, whatever its name; who does not is, once
that was seen. --force takes any kernel for such a one."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from dataclasses import replace

import pytest

from sockproxy.bpf.bypass import Bypass
from sockproxy.bypass import left_alone
from sockproxy.bypass.attach import attach
from sockproxy.bypass.detach import detach
from sockproxy.bypass.options import BypassOptions
from sockproxy.bypass.view import bypass_connections, bypass_status
from sockproxy.errors import Unsupported
from sockproxy.proof.mechanisms import BYPASS
from sockproxy.proof.proof import Proof
from tests.support.askers import available
from tests.support.bypass import NAME
from tests.support.readers import serving
from tests.support.refused import refuse
from tests.support.scale import patience

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass"), pytest.mark.timeout(120)]

ASKERS = ("asks", "sizes", "asks-when-full")
OTHERS = ("level", "drains", "drains-edge")
SIZES = (10, 100, 1020, 10, 3000, 20_000, 5)  # 1020: with its head it fills a small buffer
CONNECTIONS = 5


class Client:
    """Reads until there is no more, and then waits."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), patience(10))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.epoll = select.epoll()
        self.epoll.register(self.sock, select.EPOLLIN)

    def ask(self, *sizes):
        """All are answered."""
        for size in sizes:
            self.sock.sendall(size.to_bytes(4) + bytes([size % 251]) * size)
        answers = b""
        while len(answers) < len(sizes):
            assert self.epoll.poll(patience(10)), f"{len(answers)} answers to {sizes}"
            with contextlib.suppress(BlockingIOError):
                while got := self.sock.recv(100):
                    answers += got
        assert answers == b"!" * len(sizes)

    def close(self):
        self.sock.close()
        self.epoll.close()


def talk(port):
    """A connection on which all is answered; role to state and why."""
    with contextlib.closing(Client(port)) as client:
        for size in SIZES * 4:
            client.ask(size)
        client.ask(*SIZES[:4])
        return seen(port)


def seen(port):
    """Role to state and why, of the last connection to that port."""
    return {
        each["role"]: (each["state"], each["why"])
        for each in bypass_connections(NAME)["connections"]
        if port in (each["local"][1], each["remote"][1])
    }


@pytest.fixture
def strict(group):
    assert not attach(NAME, group.path, BypassOptions(force=True)).observes
    yield
    assert detach(NAME, 10).drained


@pytest.mark.parametrize("habit", ASKERS)
def test_who_asks_stays_plain(strict, habit):
    with serving("askers", habit) as port:
        for _ in range(CONNECTIONS):
            told = talk(port)
        assert bypass_status(NAME)["bypassed_messages"] == 0
        assert told["accepter"][0] == "plain"
        assert "FIONREAD" in told["accepter"][1]


def test_who_asked_has_no_proof_left_when_that_is_forgotten(strict):
    """Where it is seen. Its reads look like proofs, and stay when what it did has grown old."""
    with Bypass(NAME) as bypass:
        bypass.change(replace(bypass.settings(), evidence=1))
    for _ in range(2):
        with serving("askers", "asks") as port:
            for _ in range(2):
                told = talk(port)
        assert "FIONREAD" in told["accepter"][1]
        time.sleep(1.5)


def test_reads_of_connections_that_are_left_out_prove_nothing(strict):
    """As plain ones to a service to which many such ended: nobody sees there that it asks."""
    with serving("askers", "drains") as port:
        for _ in range(16):
            with socket.create_connection(("127.0.0.1", port)) as short:
                short.shutdown(socket.SHUT_WR)
                assert short.recv(1) == b""
        with contextlib.closing(Client(port)) as client:
            for _ in range(16):
                client.sock.sendall((1).to_bytes(4) + b"\1")
                assert client.epoll.poll(patience(10))
                assert available(client.sock) == 1
                assert client.sock.recv(100) == b"!"
            assert "opener" not in seen(port)
        time.sleep(1.5)  # then the service is tried again
        with contextlib.closing(Client(port)):
            assert "FIONREAD" in seen(port)["opener"][1]


@pytest.mark.parametrize("habit", OTHERS)
def test_who_does_not_is_learned(strict, habit):
    with serving("askers", habit) as port:
        first = talk(port)
        assert {state for state, _ in first.values()} == {"plain"}
        assert all("not yet known" in why for _, why in first.values()), first
        last = [talk(port) for _ in range(CONNECTIONS)][-1]
        counts = bypass_status(NAME)
        if habit == "level" and counts["proof"] != "short":
            # This kernel lets nobody see who asks, so that a short read proves nothing.
            assert "not yet known" in last["accepter"][1]
        elif habit == "drains-edge":
            assert "EPOLLET" in last["accepter"][1]
        else:
            assert last["accepter"] == ("bypassing", "")
            assert counts["bypassed_messages"] > 0


def test_any_reader(group):
    """The option lets all in, askers too."""
    assert not attach(NAME, group.path, BypassOptions(force=True, any_reader=True)).observes
    try:
        with serving("askers", "level") as port:
            talk(port)
            counts = bypass_status(NAME)
            assert (counts["unproven"], counts["any_reader"]) == (0, True)
            assert counts["bypassed_messages"] > 0
    finally:
        assert detach(NAME, 10).drained


@pytest.fixture
def found(monkeypatch):
    """What doctor is to have found, by whether FIONREAD is wrong; None: nobody has asked it."""

    def set_to(wrong):
        proof = None if wrong is None else Proof(limits={left_alone.FIONREAD: ""} if wrong else {})
        monkeypatch.setattr(left_alone, "known_proof", {BYPASS: proof}.get)

    return set_to


def test_force_asks_for_no_proof_where_nothing_could_give_it(group, found):
    """A NAME that was attached where FIONREAD is right has no program that proves anything."""
    right = BypassOptions(force=True, blocking_readers=True, fionread_is_wrong=False)
    attach(NAME, group.path, right)
    try:
        for known in (None, False):
            found(known)
            assert attach(NAME, group.path, BypassOptions(force=True)).changed
            assert bypass_status(NAME)["proof"] == "none"
            with serving("askers", "level") as port:
                assert talk(port)["accepter"] == ("bypassing", "")
        found(True)
        with pytest.raises(Unsupported, match="FIONREAD") as error:
            attach(NAME, group.path, BypassOptions(force=True))
        assert f"detach {NAME} first" in error.value.hint
        attach(NAME, group.path, BypassOptions(force=True, any_reader=True))
    finally:
        assert detach(NAME, 10).drained


def test_it_is_told_that_nothing_can_be_proven(group, monkeypatch):
    """As before Linux 6.3, where nothing shows the result of a read."""
    refuse(monkeypatch, {"bypass_result"})
    told = []
    attach(NAME, group.path, BypassOptions(force=True), told.append)
    try:
        assert ["--any-reader" in line for line in told] == [True]
        attach(NAME, group.path, BypassOptions(force=True, observe=True), told.append)
        attach(NAME, group.path, BypassOptions(force=True, any_reader=True), told.append)
        assert len(told) == 1
    finally:
        assert detach(NAME, 10).drained

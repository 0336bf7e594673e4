"""Bypass: a reader that stalls stops its sender, in bounded memory; detach waits for it."""

from __future__ import annotations

import contextlib
import json
import resource
import socket

import pytest

from sockproxy.net.tcp import socket_cookie
from tests.support.bypass import ALL_READERS, NAME, connections, converse, sockproxy, status
from tests.support.memory import peak_memory, tcp_limit
from tests.support.pattern import Checker, Pattern
from tests.support.scale import patience, scaled
from tests.support.sockets import push_until_blocked, receive, tcp_buffers, tcp_pair

pytestmark = [
    pytest.mark.root,
    pytest.mark.bpf,
    pytest.mark.on("bypass"),
    pytest.mark.alone,  # memory of all sockets of the machine
]

MIB = 1 << 20
MACHINE = 64 * MIB  # allowance for what the machine does meanwhile


class Sender:
    """A pattern into one end until that blocks, and out of the other end, checked."""

    def __init__(self, seed, source, target):
        self.source, self.target = source, target
        self.sent, self._pattern, self._seed = 0, Pattern(seed), seed

    def push(self, chunk):
        self.source.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.sent += self.source.send(self._pattern.at(self.sent, chunk))

    def drain(self):
        checker = Checker(self._seed)
        self.target.settimeout(patience(20))
        while checker.offset < self.sent:
            checker.feed(self.target.recv(MIB))
        self.target.setblocking(False)
        with pytest.raises(BlockingIOError):
            self.target.recv(1)


def small_pair():
    """With buffers small from the start: what TCP itself takes is not what is looked at, and
    one that shrinks below the window it announced drops what arrives, with or without us."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32768)
        one.connect(listener.getsockname())
        return one, listener.accept()[0]


@pytest.mark.parametrize("chunk", [1, 100, 16384, MIB])
def test_a_stalled_reader_stops_its_sender(bypassed, chunk):
    one, other = tcp_pair()
    with one, other:
        converse(one, other, size=60_000)
        sender = Sender(3, one, other)
        with peak_memory() as peak:
            sender.push(chunk)
            if chunk < MIB:  # that is more than may be bypassed at once
                assert connections()[socket_cookie(other)]["unread"]
        assert 0 < sender.sent < tcp_buffers() + 2 * MIB
        assert peak.beyond_tcp < MACHINE
        assert status()["bypassed_messages"] > 4
        sender.drain()


def test_a_thousand_stalled_connections(bypassed):
    """Each within its budget; no error that TCP would not give."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    count, budget = scaled(1000, 50), 64 << 10
    sockproxy(
        "attach",
        NAME,
        "--cgroup",
        bypassed.path,
        *ALL_READERS,
        "--budget",
        budget,
    )
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        senders = []
        for seed in range(count):
            one, other = map(stack.enter_context, small_pair())
            converse(one, other, size=4096)
            senders.append(Sender(seed, one, other))
        with peak_memory() as peak:
            for sender in senders:
                sender.push(4096)
        print(
            f"{count} stalled: {peak.used / MIB:.0f} MiB, beyond TCP's {peak.beyond_tcp / MIB:.0f}"
        )
        assert peak.used < count * (budget + 4 * 65536) + MACHINE
        assert peak.used < tcp_limit()
        for sender in senders:
            assert sender.sent
            sender.drain()
    assert status()["bypassed_messages"] > 4 * count


def test_a_blocked_sender_goes_on_when_the_reader_does(bypassed):
    one, other = tcp_pair()
    with one, other:
        converse(one, other)
        taken = push_until_blocked(one, bytes(65536))
        one.setblocking(False)
        with pytest.raises(BlockingIOError):
            one.send(b"x")
        receive(other, taken)
        one.settimeout(patience(20))
        one.sendall(b"goes on")
        assert receive(other, 7) == b"goes on"
        converse(other, one)


def test_detach_waits_for_the_reader(group):
    """What is unread stays where it is, is told, and is collected by the next detach."""
    sockproxy("attach", NAME, "--cgroup", group.path, *ALL_READERS)
    try:
        one, other = tcp_pair()
        with one, other:
            converse(one, other)
            one.sendall(b"a")
            assert connections()[socket_cookie(other)]["unread"]
            done = json.loads(sockproxy("detach", NAME, "--timeout", "300ms", "--json", code=1))
            assert done["result"] == "draining"
            assert [each["cookie"] for each in done["left"]] == [socket_cookie(other)]
            assert status()["mode"] == "drain"
            one.sendall(b"bc")  # by TCP, behind what was bypassed
            third, fourth = tcp_pair()  # no longer enrolled
            with third, fourth:
                assert socket_cookie(third) not in connections()
            assert receive(other, 3) == b"abc"
            assert "detached" in sockproxy("detach", NAME)
            converse(one, other)
    finally:
        sockproxy("detach", NAME)


def test_a_bypass_that_drains_can_be_attached_again(group):
    sockproxy("attach", NAME, "--cgroup", group.path, *ALL_READERS)
    try:
        one, other = tcp_pair()
        with one, other:
            converse(one, other)
            one.sendall(b"a")
            sockproxy("detach", NAME, "--timeout", "100ms", code=1)
            assert "changed" in sockproxy("attach", NAME, "--cgroup", group.path, *ALL_READERS)
            assert receive(other, 1) == b"a"
            third, fourth = tcp_pair()
            with third, fourth:
                converse(third, fourth)
                assert connections()[socket_cookie(third)]["state"] == "bypassing"
    finally:
        sockproxy("detach", NAME)

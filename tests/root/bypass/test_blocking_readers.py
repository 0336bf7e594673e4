"""Readers in blocking mode see no bypass: whatever wakes them, recv answers as TCP does."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sockproxy.bypass.attach import attach
from sockproxy.bypass.detach import detach
from sockproxy.bypass.options import BypassOptions
from sockproxy.net.tcp import socket_cookie
from tests.support.blocked import FLOOD, SIZE, TURNS
from tests.support.bypass import NAME, connections, status
from tests.support.needs import find_program
from tests.support.pattern import Checker, Pattern
from tests.support.proxy import ROOT
from tests.support.scale import patience
from tests.support.servers import redis, run
from tests.support.sockets import eventually, receive, seen_waiting

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass"), pytest.mark.timeout(120)]

ROLES = ("opener", "late-opener", "accepter", "late-accepter")
READS = ("45", "207")  # recvfrom(2), on x86-64 and on arm64
PTRACE_ATTACH, PTRACE_DETACH = 16, 17
libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def bypass_of_defaults(group):
    done = attach(NAME, group.path, BypassOptions(any_reader=True))
    assert not done.observes, done.why_not
    yield group
    assert detach(NAME, 10).drained


@pytest.fixture(params=["plain", "bypassed"])
def either(request, group):
    """The cgroup without a bypass, and with one of default options."""
    if request.param == "bypassed":
        request.getfixturevalue("bypass_of_defaults")
    return group


class Blocked:
    """tests.support.blocked, up to where it waits, and the other end of its connection."""

    def __init__(self, role, how="nothing", group=None):
        self.is_opener = role.endswith("opener")
        with contextlib.ExitStack() as stack:
            if self.is_opener:
                listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
                listener.setblocking(False)
            port = listener.getsockname()[1] if self.is_opener else 0
            if group is not None:
                stack.enter_context(group.entered())
            argv = [sys.executable, "-m", "tests.support.blocked", role, str(port), how]
            self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT)
            self.pid = self.process.pid
            if self.is_opener:
                select.select([listener], [], [], patience(20))
                self.sock, _ = listener.accept()
            else:
                self.sock = socket.socket()
                self.sock.setblocking(False)
                self.sock.connect_ex(("127.0.0.1", int(self.process.stdout.readline())))
        self.sock.settimeout(patience(20))
        seen_waiting(self.sock)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def converse(self):
        """Its turns; it waits behind them."""
        for _ in range(TURNS):
            if self.is_opener:
                assert receive(self.sock, 1) == b"?"
            self.sock.sendall(b"!")
            if not self.is_opener:
                assert receive(self.sock, 1) == b"?"
        assert self.process.stdout.readline() == "waiting\n"
        eventually(self.waits)

    def waits(self):
        """Whether it is inside of recv(2)."""
        return Path(f"/proc/{self.pid}/syscall").read_text().split()[0] in READS

    def finish(self, flooded=False):
        """Let it have its data, and the end; what it was answered meanwhile."""
        sent = Pattern(3).at(0, SIZE)
        self.sock.sendall(sent)
        if flooded:
            checker = Checker(7)
            while checker.offset < FLOOD:
                checker.feed(receive(self.sock, 1 << 16))
        self.sock.shutdown(socket.SHUT_WR)
        told, size, digest = json.loads(self.process.communicate(timeout=patience(30))[0])
        assert (size, digest) == (SIZE, hashlib.sha256(sent).hexdigest())
        assert self.process.returncode == 0
        return told

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()
        self.process.kill()
        self.process.communicate()


def stop_and_continue(blocked, _):
    for _ in range(3):
        os.kill(blocked.pid, signal.SIGSTOP)
        time.sleep(0.02)
        os.kill(blocked.pid, signal.SIGCONT)
        time.sleep(0.02)


def debug(blocked, _):
    """As a debugger or strace comes and goes."""
    for _ in range(3):
        assert libc.ptrace(PTRACE_ATTACH, blocked.pid, None, None) == 0, ctypes.get_errno()
        os.waitpid(blocked.pid, 0)
        assert libc.ptrace(PTRACE_DETACH, blocked.pid, None, None) == 0, ctypes.get_errno()
        time.sleep(0.02)


def freeze_and_thaw(_, inner):
    events = inner.path / "cgroup.events"
    for frozen in (1, 0, 1, 0):
        (inner.path / "cgroup.freeze").write_text(str(frozen))
        eventually(lambda: f"frozen {frozen}" in events.read_text())  # noqa: B023
        time.sleep(0.02)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("disturb", [stop_and_continue, debug, freeze_and_thaw])
def test_stopped_from_outside(either, role, disturb):
    inner = either.child("inner").create()
    try:
        with Blocked(role, group=inner) as blocked:
            blocked.converse()
            disturb(blocked, inner)
            assert blocked.finish() == []
    finally:
        inner.remove()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    ("how", "answers"), [("timer", set()), ("handler", {"EINTR"}), ("thread", set())]
)
def test_disturbed_by_itself(either, role, how, answers):
    with Blocked(role, how) as blocked:
        blocked.converse()
        if how != "thread":
            time.sleep(patience(0.4))
        assert set(blocked.finish(flooded=how == "thread")) == answers


@pytest.mark.parametrize("role", ROLES)
def test_connections_says_so(bypass_of_defaults, role):
    with Blocked(role) as blocked:
        blocked.converse()
        (one,) = (each for each in connections().values() if blocked.pid in each["processes"])
        assert (one["state"], one["why"]) == ("plain", "this end reads in blocking mode")
        assert status()["bypassed_messages"] == 0
        assert blocked.finish() == []


# -- who does not block -------------------------------------------------------------------


@contextlib.contextmanager
def served(listener, dial):
    """(client, server), both non-blocking, whatever they were when they met."""
    client = dial(listener.getsockname())
    select.select([listener], [], [], patience(20))
    server, _ = listener.accept()
    with client, server:
        for sock in (client, server):
            sock.settimeout(patience(20))  # which is non-blocking mode, and poll
            seen_waiting(sock)
        yield client, server


def dial_without_blocking(address):
    return socket.create_connection(address, patience(20))


def talked(client, server):
    """States of the two ends after a conversation."""
    for number in range(TURNS):
        for one, other in ((client, server), (server, client)):
            one.sendall(bytes([number]))
            assert receive(other, 1) == bytes([number])
    seen = connections()
    return [seen[socket_cookie(sock)]["state"] for sock in (client, server)]


def test_a_listener_that_does_not_block(bypass_of_defaults):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        with served(listener, dial_without_blocking) as ends:
            assert talked(*ends) == ["bypassing", "bypassing"]


def test_a_listener_that_blocks_is_learned(bypass_of_defaults):
    """Its first connection stays plain, and shows the mode of what it accepts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with served(listener, dial_without_blocking) as (client, server):
            assert talked(client, server) == ["plain", "plain"]
            why = connections()[socket_cookie(server)]["why"]
            assert why == "it may be read in blocking mode, as others of its program or port are"
        with served(listener, dial_without_blocking) as ends:
            assert talked(*ends) == ["bypassing", "bypassing"]


def test_a_listener_from_before(group):
    """Its mode is looked up when a bypass is attached."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert not attach(NAME, group.path, BypassOptions(any_reader=True)).observes
        try:
            with served(listener, dial_without_blocking) as ends:
                assert talked(*ends) == ["plain", "plain"]
            with served(listener, dial_without_blocking) as ends:
                assert talked(*ends) == ["bypassing", "bypassing"]
        finally:
            assert detach(NAME, 10).drained


def test_one_that_is_set_to_block_leaves(bypass_of_defaults):
    """In the middle of a conversation; what it has, and what comes, is whole."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        with served(listener, dial_without_blocking) as (client, server):
            assert talked(client, server) == ["bypassing", "bypassing"]
            server.sendall(Pattern(5).at(0, 100))
            client.settimeout(None)
            assert receive(client, 100) == Pattern(5).at(0, 100)
            assert talked(client, server) == ["plain", "plain"]
            why = {each["why"] for each in connections().values()}
            assert why == {
                "this end reads in blocking mode",
                "the other end reads in blocking mode",
            }


def test_the_option_lets_them_in(group):
    """And with them what the others are kept from: without that, these tests could not fail."""
    assert not attach(
        NAME, group.path, BypassOptions(blocking_readers=True, any_reader=True)
    ).observes
    try:
        with Blocked("opener") as blocked:
            blocked.converse()
            assert status()["bypassed_messages"] > 0
            stop_and_continue(blocked, None)
            assert set(blocked.finish()) == {"EAGAIN"}
    finally:
        assert detach(NAME, 10).drained


@pytest.mark.tools("redis-server", "redis-cli")
def test_redis_cli_waits_on(either):
    """BLPOP, stopped and continued: hiredis takes EAGAIN for the end of its connection."""
    with redis() as port:
        ask = [find_program("redis-cli"), "-p", str(port)]
        for number in range(3):
            with subprocess.Popen(
                [*ask, "BLPOP", "list", "0"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ) as waiting:
                eventually(lambda: "blocked_clients:1" in run(*ask, "INFO", "clients"))
                stop_and_continue(waiting, None)
                assert run(*ask, "RPUSH", "list", f"value-{number}").strip() == "1"
                assert waiting.communicate(timeout=patience(10))[0] == f"list\nvalue-{number}\n"

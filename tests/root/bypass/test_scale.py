"""Many connections: more than there is room for, ended at any moment, 10,000 at once."""

from __future__ import annotations

import contextlib
import json
import random
import resource
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sockproxy.rundir import sight
from tests.support.bypass import ALL_READERS, NAME, assert_paired, converse, sockproxy, status
from tests.support.namespace import Namespace
from tests.support.scale import patience, scaled
from tests.support.sockets import eventually, reset, tcp_pair

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass")]

MOST = 64  # pairs that there is room for while connections come and go
THREADS, AT_ONCE, TURNS = 5, 6, scaled(67, 5)
MIB = 1 << 20
MANY = scaled(10_000, 200)  # connections at once
SECONDS = patience(60.0)  # that a look at all of them may take: what is quadratic takes longer
# Accepts for ever; says how many it has when it is asked.
ACCEPTER = """\
import resource, socket, sys, threading
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
listener, held = socket.socket(fileno=int(sys.argv[1])), []
def accept():
    while True:
        held.append(listener.accept()[0])
threading.Thread(target=accept, daemon=True).start()
for line in sys.stdin:
    if line == "close\\n":
        while held:
            held.pop().close()
    print(len(held), flush=True)
"""


@contextlib.contextmanager
def attached(group, *options):
    sockproxy("attach", NAME, "--cgroup", group.path, *ALL_READERS, *options)
    try:
        yield
    finally:
        sockproxy("detach", NAME)
        assert NAME not in sight.names()


# -- room for few -------------------------------------------------------------------------


def test_more_connections_than_the_limit(group):
    with attached(group, "--max-connections", 4), contextlib.ExitStack() as stack:
        pairs, times = [tcp_pair() for _ in range(20)], scaled(50, 10)
        for pair in pairs:
            for each in pair:
                stack.enter_context(each)
            converse(*pair, times=times)
        for pair in pairs[:4]:
            assert_paired(*pair)
        counts = status()
        assert (counts["paired"], counts["full"]) == (4, 16)
        # Either way is granted once its reader has taken a few turns (TURNS in bpf/bypass/grant.h).
        assert counts["bypassed_messages"] >= 4 * 2 * (times - 4)
        for pair in pairs:
            for each in pair:
                each.close()
        with contextlib.ExitStack() as again:
            for _ in range(4):
                for each in tcp_pair():
                    again.enter_context(each)
            assert status()["paired"] == 8


def end_somehow(draw, pair):
    """Some rounds, then the two close in any order or at once, most with a reset."""
    first, second = draw.sample(pair, 2)
    converse(first, second, draw.choice((0, 1, 2, 5, 9)))
    if draw.random() < 0.5:
        first.sendall(b"never read")
    closer = threading.Thread(target=reset, args=[first])
    closer.start()
    if draw.random() < 0.5:
        closer.join()
    (reset if draw.random() < 0.7 else socket.socket.close)(second)
    closer.join()


def come_and_go(seed, errors):
    draw = random.Random(seed)
    try:
        for _ in range(TURNS):
            # Each on a port of its own: one that did not gain would be left out.
            pairs = [tcp_pair() for _ in range(AT_ONCE - 1)]
            with socket.create_server(("127.0.0.1", 0)) as listener:
                reset(socket.create_connection(listener.getsockname()))  # not accepted yet
            for pair in pairs:
                end_somehow(draw, pair)
    except Exception as error:
        errors.append(error)


@pytest.mark.parametrize("options", [[], ["--observe"]])
def test_no_pair_is_lost_by_resets(group, options):
    """2,000 connections end at any moment; then as many are paired as there is room for."""
    with attached(group, "--max-connections", MOST, *options):
        errors = []
        workers = [threading.Thread(target=come_and_go, args=[n, errors]) for n in range(THREADS)]
        for each in workers:
            each.start()
        for each in workers:
            each.join()
        assert not errors, errors
        eventually(lambda: status()["live"] == 0)
        before = status()
        assert before["paired"] > THREADS * (AT_ONCE - 1) * TURNS * 0.9
        with contextlib.ExitStack() as stack:
            for _ in range(MOST):
                pair = tcp_pair()
                for each in pair:
                    stack.enter_context(each)
                converse(*pair)
            assert_paired(*pair)
            now = status()
            assert (now["paired"] - before["paired"], now["full"]) == (MOST, before["full"])


# -- many at once -------------------------------------------------------------------------


@pytest.fixture
def many_files():
    """As many open files as this process may ever have."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] < MANY + 1000:
        pytest.skip(f"RLIMIT_NOFILE cannot be over {before[1]}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def slab():
    """What the kernel holds in small objects, in bytes: sockets and all that belongs to them.
    Free memory would tell more of what other programs do meanwhile. What was freed last is
    given back after a while: waits for that."""
    least, since = 1 << 62, time.monotonic()
    while time.monotonic() - since < scaled(1.0, 0.1):
        lines = Path("/proc/meminfo").read_text().splitlines()
        now = next(int(line.split()[1]) << 10 for line in lines if line.startswith("Slab:"))
        if now < least - MIB:
            least, since = now, time.monotonic()
        time.sleep(0.05)
    return least


class Crowd:
    """MANY connections between this process and another, in a namespace of their own, so
    that they leave no port of the machine in TIME_WAIT."""

    def __init__(self, namespace, stack):
        self._namespace, self._held = namespace, []
        self._listener = namespace.socket(lambda: socket.create_server(("127.0.0.1", 0)))
        stack.enter_context(self._listener).listen(4096)
        number = self._listener.fileno()
        self._accepter = subprocess.Popen(
            [sys.executable, "-c", ACCEPTER, str(number)],
            pass_fds=[number],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(self._end)

    def _end(self):
        self.close()
        self._accepter.communicate()

    def _tell(self, word):
        print(word, file=self._accepter.stdin, flush=True)
        return int(self._accepter.stdout.readline())

    def open(self):
        """What memory one connection takes, in bytes."""
        before = slab()
        address = self._listener.getsockname()

        def connect():
            for _ in range(MANY):
                self._held.append(socket.create_connection(address))

        self._namespace.socket(connect)
        eventually(lambda: self._tell("how many") == MANY, 20)
        return (slab() - before) // MANY

    def close(self):
        while self._held:
            self._held.pop().close()
        eventually(lambda: self._tell("close") == 0, 20)


def timed(*arguments):
    begin = time.monotonic()
    (bypass,) = json.loads(sockproxy(*arguments, "--json"))["bypasses"]
    return bypass, time.monotonic() - begin


def test_twenty_thousand_sockets(group, many_files, capsys):
    with contextlib.ExitStack() as stack:
        inside = Namespace(NAME)
        stack.callback(inside.remove)
        crowd = Crowd(inside, stack)
        crowd.open()  # what is there for the first time is not a connection's
        crowd.close()
        plain = crowd.open()
        crowd.close()
        stack.enter_context(attached(group))
        bypassed = crowd.open()
        counts, status_took = timed("status", NAME)
        assert (counts["live"], counts["paired"]) == (2 * MANY, MANY)
        listed, listing_took = timed("connections", NAME)
        lines = listed["connections"]
        peers = {each["cookie"]: each["peer"] for each in lines}
        assert len(peers) == 2 * MANY
        assert all(peers[peer] == cookie for cookie, peer in peers.items())
        assert all(len(each["processes"]) == 1 for each in lines)
        crowd.close()
        eventually(lambda: status()["live"] == 0)
        with capsys.disabled():
            print(
                f"\n{2 * MANY} sockets: status {status_took:.2f} s,"
                f" connections {listing_took:.2f} s; memory of a connection {bypassed} bytes,"
                f" {plain} without the bypass"
            )
        assert status_took < SECONDS
        assert listing_took < SECONDS

"""Programs that a bypass leaves alone: known by name, wherever and whenever they started."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sockproxy.controller.left_alone import listening
from tests.support.bypass import NAME, connections, converse, sockproxy, status
from tests.support.scale import patience
from tests.support.sockets import receive, tcp_pair

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass")]

COMM = Path("/proc/self/comm")
ECHO = """
import socket, sys
open("/proc/self/comm", "w").write("hermit")
listener = socket.create_server(("127.0.0.1", 7001))
print("ready", flush=True)
while True:
    sock, _ = listener.accept()
    while got := sock.recv(100):
        sock.sendall(got)
"""


@contextlib.contextmanager
def named(name):
    """This process goes by that name for the length of a `with`."""
    before = COMM.read_text().strip()
    COMM.write_text(name)
    try:
        yield
    finally:
        COMM.write_text(before)


@contextlib.contextmanager
def hermit(namespace):
    """A server called "hermit" that echoes, at port 7001 of a namespace."""
    argv = ["ip", "netns", "exec", namespace.name, sys.executable, "-c", ECHO]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process.pid
        finally:
            process.kill()


@pytest.mark.tools("ip")
def test_one_that_listens_already_in_another_namespace(group, inside):
    with hermit(inside) as pid:
        netns = os.stat(f"/proc/{pid}/ns/net").st_ino
        assert listening({"hermit"}) == {(netns, 7001)}
        sockproxy("attach", NAME, "--cgroup", group.path, "--except", "hermit")
        try:
            dial = lambda: socket.create_connection(("127.0.0.1", 7001), patience(5))  # noqa: E731
            with inside.socket(dial) as sock:
                for _ in range(8):
                    sock.sendall(b"ping")
                    assert receive(sock, 4) == b"ping"
            counts = status()
            assert (counts["paired"], counts["programs"], counts["bypassed_messages"]) == (0, 1, 0)
        finally:
            sockproxy("detach", NAME)


def test_one_that_is_given_a_socket(group):
    """It neither connected nor listens: its first read tells."""
    sockproxy("attach", NAME, "--cgroup", group.path, "--except", "hermit")
    try:
        one, other = tcp_pair()
        with one, other, named("hermit"):
            converse(one, other)
            seen = connections().values()
            assert {each["why"] for each in seen} <= {
                "the other end is of a program that is left alone",
                "this end is of a program that is left alone",
            }
            assert status()["bypassed_messages"] == 0
    finally:
        sockproxy("detach", NAME)

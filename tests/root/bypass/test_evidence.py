"""What a bypass remembers of programs: of the right ones, and not for ever."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from sockproxy.bpf.bypass import Bypass
from tests.support.bypass import NAME, connections, sockproxy
from tests.support.proxy import running_proxy
from tests.support.scale import patience
from tests.support.sockets import eventually, receive, seen_waiting

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass")]

TURNS = 16

# Echoes at port argv[1] of 127.0.0.1: reads by recv, or by splice(2) where argv[2] says so.
ECHO = """
import os, select, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
listener.setblocking(False)
print(listener.getsockname()[1], flush=True)
inbox, outbox = os.pipe()
while True:
    select.select([listener], [], [])
    sock, _ = listener.accept()
    sock.settimeout(20)
    while select.select([sock], [], []):
        if sys.argv[1] == "splices":
            count = os.splice(sock.fileno(), outbox, 100)
            got = os.read(inbox, count) if count else b""
        else:
            got = sock.recv(100)
        if not got:
            break
        sock.sendall(got)
    sock.close()
"""


@contextlib.contextmanager
def echo(how):
    """A Python program that echoes; its port."""
    argv = [sys.executable, "-c", ECHO, how]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def talk(port):
    """A conversation; the state of what the server sends, and why."""
    with socket.create_connection(("127.0.0.1", port), patience(20)) as sock:
        seen_waiting(sock)
        for number in range(TURNS):
            sock.sendall(bytes([number]) * 50)
            assert receive(sock, 50) == bytes([number]) * 50
        here = sock.getsockname()
        (end,) = (each for each in connections().values() if tuple(each["remote"]) == here)
        return end["state"], end["why"]


@pytest.fixture
def attached(group):
    sockproxy("attach", NAME, "--cgroup", group.path, "--any-reader")
    yield group
    sockproxy("detach", NAME)


def test_a_proxy_that_splices_does_not_taint_python(attached):
    with echo("reads") as port:
        assert talk(port) == ("bypassing", "")
        with running_proxy(("127.0.0.1", port), "--relay") as proxy:
            for _ in range(3):
                with socket.create_connection(proxy.address, patience(20)) as sock:
                    for number in range(TURNS):
                        sock.sendall(bytes([number]) * 50)
                        assert receive(sock, 50) == bytes([number]) * 50
            eventually(lambda: not proxy.status()["connections"])
            assert talk(port) == ("bypassing", "")


def test_one_service_that_splices_does_not_taint_another(attached):
    """Both are python3, each in a cgroup of its own."""
    inner = attached.child("inner").create()
    try:
        with contextlib.ExitStack() as stack:
            with inner.entered():
                splices = stack.enter_context(echo("splices"))
            reads = stack.enter_context(echo("reads"))
            assert talk(splices)[1] == "this end reads with splice"
            assert talk(reads) == ("bypassing", "")
    finally:
        eventually(lambda: not inner.processes())
        inner.remove()


def test_evidence_grows_old(attached):
    """What one program did holds for the next that is called so, until it was not seen again."""
    with echo("splices") as port:
        assert talk(port)[1] == "this end reads with splice"
    with echo("reads") as port:
        assert talk(port)[1] == "this end reads with splice"
    with Bypass(NAME) as bypass:
        bypass.change(replace(bypass.settings(), evidence=1))
    time.sleep(1.5)
    with echo("reads") as port:
        assert talk(port) == ("bypassing", "")

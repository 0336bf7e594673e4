"""Programs that a bypass leaves alone: known by name, wherever and whenever they started."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sockproxy.bpf.abi import Plain
from sockproxy.bypass import left_alone
from sockproxy.rundir import sight
from tests.support.bypass import ALL_READERS, NAME, connections, converse, sockproxy, status
from tests.support.proxy import run_sockproxy
from tests.support.scale import patience
from tests.support.sockets import receive, tcp_client, tcp_pair

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
        assert left_alone.acceptors([left_alone.program_called("hermit")], group) == {
            (netns, 7001): Plain.PROGRAM
        }
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
    sockproxy(
        "attach",
        NAME,
        "--cgroup",
        group.path,
        *ALL_READERS,
        "--except",
        "hermit",
    )
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


def test_one_that_is_refused_and_tries_again_as_another(group):
    """The socket is not left alone for what its program was called when it was refused."""
    sockproxy("attach", NAME, "--cgroup", group.path, *ALL_READERS, "--except", "hermit")
    try:
        with socket.create_server(("127.0.0.1", 0)) as gone:
            refusing = gone.getsockname()
        with socket.socket() as one, socket.create_server(("127.0.0.1", 0)) as listener:
            with named("hermit"), pytest.raises(ConnectionRefusedError):
                one.connect(refusing)
            one.connect(listener.getsockname())
            with listener.accept()[0]:
                assert (status()["paired"], status()["programs"]) == (1, 0)
    finally:
        sockproxy("detach", NAME)


@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
def test_one_that_shares_its_port_with_another(group, first):
    """Each has its own address; when both have gone, who listens next is not left alone."""

    def paired(listener):
        before = status()["paired"]
        with socket.create_connection(listener.getsockname(), patience(20)), listener.accept()[0]:
            return status()["paired"] - before

    def listener(name, address):
        with named(name):
            return socket.create_server(address)

    sockproxy("attach", NAME, "--cgroup", group.path, *ALL_READERS, "--except", "hermit")
    try:
        with listener("hermit" if first else "other", ("127.0.0.1", 0)) as one:
            port = one.getsockname()[1]
            with listener("other" if first else "hermit", ("127.0.0.2", port)) as two:
                assert (paired(one), paired(two)) == (0, 0)
            with listener("other", ("127.0.0.3", port)) as two:
                assert (paired(one), paired(two)) == ((0, 0) if first else (1, 1))
        with listener("other", ("127.0.0.1", port)) as one:
            assert paired(one) == 1
    finally:
        sockproxy("detach", NAME)


# -- by name, by executable, by path ------------------------------------------------------

LONG = "a-server-whose-name-is-longer-than-fifteen-bytes"
PEER = """
import select, socket, sys
with socket.create_server(("127.0.0.1", 0)) as listener:
    listener.setblocking(False)
    print(listener.getsockname()[1], flush=True)
    listener.settimeout(20)
    sock, _ = listener.accept()
sock.settimeout(20)
waiting = select.epoll()
waiting.register(sock, select.EPOLLIN)
while got := sock.recv(100):
    sock.sendall(got)
"""


@contextlib.contextmanager
def served_by(python):
    """A server run by this copy of the interpreter; its port."""
    with subprocess.Popen(
        [python, "-S", "-c", PEER],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONHOME": sys.base_prefix},
    ) as it:
        try:
            yield int(it.stdout.readline())
        finally:
            it.kill()


def bypassed_messages_with(port):
    """Converse with the server there; how many messages skipped TCP since the attach."""
    with tcp_client(port) as sock:
        for _ in range(16):
            sock.sendall(b"ping")
            assert receive(sock, 4) == b"ping"
    return status()["bypassed_messages"]


@pytest.mark.parametrize(
    ("given", "is_left_alone"),
    [("name", True), ("path", True), ("link", True), ("other-name", False), ("other-path", False)],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_what_matches(group, tmp_path, given, is_left_alone, when):
    (tmp_path / "link").symlink_to(tmp_path / LONG)
    (tmp_path / "other").mkdir()
    other = shutil.copy("/bin/true", tmp_path / "other" / LONG)
    spelt = {"name": LONG, "path": tmp_path / LONG, "link": tmp_path / "link",
             "other-name": LONG[::-1], "other-path": other}[given]  # fmt: skip
    server = shutil.copy(os.path.realpath(sys.executable), tmp_path / LONG)
    with contextlib.ExitStack() as stack:
        if when == "before":
            port = stack.enter_context(served_by(server))
        done = run_sockproxy(
            "attach", NAME, "--cgroup", group.path, "--any-reader", "--except", spelt
        )
        assert done.returncode == 0, done.stderr
        try:
            if when == "after":
                port = stack.enter_context(served_by(server))
            there = when == "before" and is_left_alone
            what = "running: 1 process" if there else "none runs now"
            assert f"sockproxy: left alone: {spelt} ({what}" in done.stderr, done.stderr
            assert (bypassed_messages_with(port) == 0) == is_left_alone
            assert str(spelt) in status()["left_alone"]
        finally:
            sockproxy("detach", NAME)


@pytest.mark.parametrize("wrong", ["/no/such/program", "./", "", "x" * 64, "script"])
def test_what_is_no_program(group, tmp_path, wrong):
    if wrong == "script":
        wrong = tmp_path / "script"
        wrong.write_text("#!/bin/sh\n")
    told = sockproxy("attach", NAME, "--cgroup", group.path, "--except", wrong, code=2)
    assert "program" in told
    assert NAME not in sight.names()


def test_one_that_is_left_alone_from_now_on(group, tmp_path):
    """Given to a bypass that is attached already, and taken back."""
    sockproxy("attach", NAME, "--cgroup", group.path, "--any-reader")
    try:
        server = shutil.copy(os.path.realpath(sys.executable), tmp_path / LONG)
        with served_by(server) as port:
            sockproxy("attach", NAME, "--cgroup", group.path, "--any-reader", "--except", server)
            assert bypassed_messages_with(port) == 0
        sockproxy("attach", NAME, "--cgroup", group.path, "--any-reader")
        with served_by(server) as port:
            assert bypassed_messages_with(port) > 0
    finally:
        sockproxy("detach", NAME)

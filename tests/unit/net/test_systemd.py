"""Sockets that systemd passed, and what it is told."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys

import pytest

from sockproxy.net import systemd
from sockproxy.net.systemd import notify, watchdog_seconds

# What systemd does between fork and exec: descriptors from 3 on, and the number of the process.
START = """
import os, sys
fds = [int(each) for each in sys.argv[1].split(",") if each]
for place, fd in enumerate(fds):
    os.dup2(fd, 100 + place)
for place in range(len(fds)):
    os.dup2(100 + place, 3 + place, inheritable=True)
    os.close(100 + place)
os.environ["LISTEN_PID"] = str(os.getpid() + int(os.environ.get("OFF", "0")))
os.execv(sys.executable, [sys.executable, "-c", sys.argv[2]])
"""
TAKE = """
from sockproxy.errors import UsageError
from sockproxy.net.systemd import Passed
try:
    for name in {names!r}:
        taken = Passed(name).take()
        print([each.getsockname()[1] for each in taken], [each.get_inheritable() for each in taken])
except UsageError as error:
    print(error)
"""


def take(sockets, *names, **environment):
    fds = ",".join(str(each.fileno()) for each in sockets)
    done = subprocess.run(
        [sys.executable, "-c", START, fds, TAKE.format(names=names)],
        env={**os.environ, "LISTEN_FDS": str(len(sockets)), **environment},
        pass_fds=[each.fileno() for each in sockets], capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@contextlib.contextmanager
def listening(count):
    with contextlib.ExitStack() as stack:
        made = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
        for each in made:
            stack.enter_context(each)
        yield made, [each.getsockname()[1] for each in made]


def test_all_of_them_and_again():
    """As a reload wants that gave them up before."""
    with listening(2) as (sockets, ports):
        assert take(sockets, "", "") == [f"{ports} [False, False]"] * 2


def test_by_name():
    with listening(3) as (sockets, ports):
        told = take(sockets, "web", "admin", LISTEN_FDNAMES="web:admin:web")
        assert told == [f"{[ports[0], ports[2]]} [False, False]", f"{[ports[1]]} [False]"]


def test_a_name_that_is_not_there():
    with listening(1) as (sockets, _):
        (told,) = take(sockets, "web", LISTEN_FDNAMES="other")
        assert told.startswith("listen on systemd:web: it passed other")
        assert "FileDescriptorName=" in told


@pytest.mark.parametrize(
    "environment", [{"OFF": "1"}, {"LISTEN_FDS": "many"}, {"LISTEN_FDS": "0"}], ids=str
)
def test_those_that_are_for_somebody_else(environment):
    with listening(1) as (sockets, _):
        (told,) = take(sockets, "", **environment)
        assert "it passed none" in told


def test_what_is_no_listening_stream_socket():
    with (
        socket.socket() as idle,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        socket.socket(socket.AF_UNIX) as local,
        listening(1) as (sockets, _),
    ):
        for wrong in (idle, datagrams, local):
            (told,) = take([*sockets, wrong], "", LISTEN_FDNAMES="good:bad")
            assert told.startswith("systemd's socket bad is no listening stream socket")


@pytest.mark.parametrize("abstract", [False, True])
def test_it_is_told(tmp_path, monkeypatch, abstract):
    where = f"\0sockproxy-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(where)
        monkeypatch.setenv("NOTIFY_SOCKET", where.replace("\0", "@"))
        notify("READY=1", "STATUS=it goes")
        assert manager.recv(100) == b"READY=1\nSTATUS=it goes"


@pytest.mark.parametrize("where", ["", "relative", "/nowhere/notify"])
def test_nobody_is_there_to_be_told(monkeypatch, where):
    monkeypatch.setenv("NOTIFY_SOCKET", where)
    notify("READY=1")


@pytest.mark.parametrize(
    ("microseconds", "pid", "expected"),
    [("3000000", None, 3.0), ("3000000", "1", None), ("", None, None), ("0", None, None),
     ("-1", None, None), ("soon", None, None)],
)  # fmt: skip
def test_how_often_it_wants_to_hear(monkeypatch, microseconds, pid, expected):
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    if pid:
        monkeypatch.setenv("WATCHDOG_PID", pid)
    assert watchdog_seconds() == expected


def test_it_is_not_asked_for():
    assert systemd.watchdog_seconds() is None

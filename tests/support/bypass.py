"""Bypasses as a user meets them: the command line, and what it tells."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from sockproxy.bypass.view import bypass_connections
from sockproxy.net.tcp import socket_cookie
from tests.support.proxy import ROOT, run_sockproxy
from tests.support.scale import patience
from tests.support.sockets import receive, seen_waiting, tcp_pair

NAME = f"test-{os.getpid()}"
# For tests of the bypass itself, whose readers are what they are.
ALL_READERS = ("--blocking-readers", "--any-reader")


def sockproxy(*arguments, code=0, **options):
    """A command that must end with `code`; what it printed: its results, or its errors
    where it has none."""
    done = run_sockproxy(*arguments, **options)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout or done.stderr


def status(name=NAME):
    """The bypass of that NAME, as `status --json` has it."""
    (bypass,) = json.loads(sockproxy("status", name, "--json"))["bypasses"]
    return bypass


def connections(name=NAME):
    """Cookie to what is told of that socket."""
    (bypass,) = json.loads(sockproxy("connections", name, "--json"))["bypasses"]
    return {each["cookie"]: each for each in bypass["connections"]}


def told_of(sock, name=NAME):
    """What is told of that socket, without a command: for what is asked often."""
    (found,) = [
        each
        for each in bypass_connections(name)["connections"]
        if each["cookie"] == socket_cookie(sock)
    ]
    return found


def assert_paired(one, other, name=NAME):
    """Both sockets are known as the two ends of one connection."""
    seen = connections(name)
    cookies = [socket_cookie(sock) for sock in (one, other)]
    assert [seen[cookie]["peer"] for cookie in cookies] == cookies[::-1]
    assert {seen[cookie]["state"] for cookie in cookies} <= {"paired", "passing", "bypassing"}
    assert os.getpid() in seen[cookies[0]]["processes"]


def converse(one, other, times=8, size=1):
    """Requests and answers until both ways are bypassed; one and other are the two ends.

    size: of each message; what a reader was not seen to read at once is not bypassed.
    """
    seen_waiting(one), seen_waiting(other)
    for _ in range(times):
        for source, target in ((one, other), (other, one)):
            source.sendall(b"." * size)
            receive(target, size)


def start_talk(host="127.0.0.1", pair=None, **spec):
    """Two processes that converse over a connection as tests.support.talk has it."""
    spec = {"seed": 1, "turns": 1000, "kinds": ["send"], "blocking": True, "nap": 0, **spec}
    ends = pair or tcp_pair(host)
    processes = []
    for role, sock in enumerate(ends):
        argv = [sys.executable, "-m", "tests.support.talk", str(sock.fileno()), str(role)]
        processes.append(
            subprocess.Popen(
                [*argv, json.dumps(spec)],
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                pass_fds=[sock.fileno()],
            )
        )
        sock.close()
    return processes


def finish_talk(processes, timeout=240):
    """Wait for them; bytes that both sent. Fails with what either says went wrong."""
    results = []
    try:
        for process in processes:
            results.append(json.loads(process.communicate(timeout=patience(timeout))[0]))
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    errors = [each["error"] for each in results if each["error"]]
    assert not errors, errors
    return sum(each["bytes"] for each in results)

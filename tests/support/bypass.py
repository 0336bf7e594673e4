"""Bypasses as a user meets them: the command line, and what it tells."""

from __future__ import annotations

import json
import os

from sockproxy.net.tcp import socket_cookie
from tests.support.proxy import run_sockproxy

NAME = f"test-{os.getpid()}"


def sockproxy(*arguments, code=0, **options):
    """A command that must end with `code`; what it printed."""
    done = run_sockproxy(*arguments, **options)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout if code == 0 else done.stderr


def status(name=NAME):
    """The bypass of that NAME, as `status --json` has it."""
    (bypass,) = json.loads(sockproxy("status", name, "--json"))["bypasses"]
    return bypass


def connections(name=NAME):
    """Cookie to what is told of that socket."""
    (bypass,) = json.loads(sockproxy("connections", name, "--json"))["bypasses"]
    return {each["cookie"]: each for each in bypass["connections"]}


def assert_paired(one, other, name=NAME):
    """Both sockets are known as the two ends of one connection."""
    seen = connections(name)
    cookies = [socket_cookie(sock) for sock in (one, other)]
    assert [seen[cookie]["peer"] for cookie in cookies] == cookies[::-1]
    assert {seen[cookie]["state"] for cookie in cookies} <= {"paired", "passing", "bypassing"}
    assert os.getpid() in seen[cookies[0]]["processes"]


def converse(one, other, times=4):
    """Requests and answers until both ways are bypassed; one and other are the two ends."""
    for _ in range(times):
        one.sendall(b"?")
        assert other.recv(1) == b"?"
        other.sendall(b"!")
        assert one.recv(1) == b"!"

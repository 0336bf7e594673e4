"""What readers may grant, and to whom."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from dataclasses import replace

import pytest

from sockproxy.bpf.bypass import Bypass
from sockproxy.bypass.attach import attach
from sockproxy.bypass.options import BypassOptions
from tests.support.bypass import NAME, connections, converse, status
from tests.support.proxy import ROOT
from tests.support.sockets import receive, tcp_client, tcp_pair

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass")]


def messages(one, other):
    """How many of a conversation skipped TCP."""
    before = status()["bypassed_messages"]
    converse(one, other, size=1000)
    return status()["bypassed_messages"] - before


def test_all_lanes_together_have_a_bound(bypassed):
    """So much for one pair; what it had is free again when it has ended."""
    with Bypass(NAME) as bypass:
        bypass.change(replace(bypass.settings(), credit=2000))
    with contextlib.ExitStack() as opened:
        first = [opened.enter_context(each) for each in tcp_pair()]
        assert messages(*first) > 0
        second = tcp_pair()
        assert messages(*second) == 0
        assert {each["state"] for each in connections().values()} == {"bypassing", "passing"}
    assert messages(*second) > 0
    for sock in second:
        sock.close()


def test_none_is_leaked(bypassed):
    with Bypass(NAME) as bypass:
        bypass.change(replace(bypass.settings(), credit=10_000))
    for _ in range(12):
        one, other = tcp_pair()
        with one, other:
            assert messages(one, other) > 0


ECHO = """
import socket
from tests.support.sockets import seen_waiting
with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    sock = seen_waiting(listener.accept()[0])
    while data := sock.recv(100):
        sock.sendall(data)
"""


@pytest.mark.parametrize("same", [False, True])
def test_ends_of_two_cgroups(group, bypassed, same):
    """A policy leaves them out."""
    options = BypassOptions(same_cgroup=same, blocking_readers=True, any_reader=True)
    attach(NAME, group.path, options)
    inner = group.child("inner").create()
    try:
        with (
            subprocess.Popen(
                [sys.executable, "-c", ECHO],
                stdout=subprocess.PIPE,
                text=True,
                preexec_fn=inner.enter,
                cwd=ROOT,
            ) as process,
            tcp_client(int(process.stdout.readline())) as sock,
        ):
            for _ in range(20):
                sock.sendall(b"x" * 50)
                assert receive(sock, 50) == b"x" * 50
            mine, other = tcp_pair()
            with mine, other:
                converse(mine, other)
                counts = status()
        assert (counts["policy"] > 0) == same, counts
        assert counts["bypassed_messages"] > (0 if same else 30)
    finally:
        inner.remove()

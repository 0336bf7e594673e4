"""A forked child and the parent's splices, in the kernel."""

from __future__ import annotations

import os

import pytest

import sockproxy
from tests.support.forks import end_child, in_child
from tests.support.scale import patience
from tests.support.sockets import level, receive, spliced

pytestmark = [pytest.mark.root, pytest.mark.bpf]


def held():
    """What this process has open of BPF, and TCP sockets, by their links."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        if int(fd) == level().fileno():
            continue  # that of the tests
        try:
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:
            continue  # that of the listing
    return [each for each in found if "bpf" in each or "eventpoll" in each]


def converse(client, server, times):
    for _ in range(times):
        client.sendall(b"request")
        assert receive(server, 7) == b"request"
        server.sendall(b"answer")
        assert receive(client, 6) == b"answer"


def test_a_forked_child_holds_no_program_and_no_connection():
    with sockproxy.Splicer(pairs=8, eager=True) as splicer:
        assert splicer.accelerated, splicer.why_not
        with spliced(splicer) as (client, server, splice):
            converse(client, server, 10)
            assert held()

            def look():
                for sock in (client, server):
                    sock.close()
                return held()

            pid, alive, answer = in_child(look)
            try:
                assert answer == "[]"
                converse(client, server, 100)
                assert splice.stats().forward.redirected == 770
                client.close()
                assert server.recv(1) == b""
                server.close()
                assert splice.wait(patience(20)).outcome == "finished"
                with spliced(splicer) as (other, another, _):
                    converse(other, another, 10)
            finally:
                end_child(pid, alive)

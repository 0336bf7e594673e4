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
    """What this process has open of BPF, and epoll sets: descriptor -> its link."""
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            link = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue  # that of the listing
        if "bpf" in link or "eventpoll" in link:
            found[fd] = link
    return found


def converse(client, server, times):
    for _ in range(times):
        client.sendall(b"request")
        assert receive(server, 7) == b"request"
        server.sendall(b"answer")
        assert receive(client, 6) == b"answer"


def test_a_forked_child_holds_no_program_and_no_connection():
    level()  # of the tests, made when it is first asked for
    before = held()
    with sockproxy.Splicer(pairs=8, eager=True) as splicer:
        assert splicer.accelerated, splicer.why_not
        with spliced(splicer) as (client, server, splice):
            converse(client, server, 10)
            assert held().keys() - before.keys()

            def look():
                for sock in (client, server):
                    sock.close()
                return sorted(held().items() - before.items())

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

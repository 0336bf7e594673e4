"""What a forked child has of a splicer: nothing, but for what it makes itself."""

from __future__ import annotations

import gc
import os
import select
import threading

import pytest

import sockproxy
from tests.support.forks import end_child, in_child
from tests.support.scale import patience
from tests.support.sockets import receive, tcp_pair

LONG = bytes(range(256)) * 12_000  # more than a pipe holds


def is_socket(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
    except OSError:
        return False  # that of the listing


def test_a_forked_child_neither_holds_nor_disturbs(splicer, four):
    client, a, b, server = four
    splice = splicer.splice(a, b, already_read=(b"early ", b""))
    client.sendall(b"before")
    assert receive(server, 12) == b"early before"

    def look():
        sockets = (client, server)
        for sock in sockets:
            sock.close()
        with pytest.raises(sockproxy.UsageError, match="closed"):
            splicer.splice(*tcp_pair())
        with pytest.raises(sockproxy.SockproxyError, match="parent"):
            splice.wait(1)
        splicer.close()
        gc.collect()
        return sum(is_socket(fd) for fd in os.listdir("/proc/self/fd"))

    pid, alive, answer = in_child(look)
    try:
        assert answer == "2", answer  # those of in_child()
        for _ in range(20):
            client.sendall(b"request")
            assert receive(server, 7) == b"request"
            server.sendall(b"answer")
            assert receive(client, 6) == b"answer"
        # The end arrives though the child lives: it holds no descriptor of it.
        client.close()
        assert server.recv(1) == b""
        server.close()
        assert splice.wait(patience(20)).outcome == "finished"
    finally:
        end_child(pid, alive)


def test_a_forked_child_has_splices_of_its_own(splicer):
    def do():
        client, a = tcp_pair()
        server, b = tcp_pair()
        with sockproxy.Splicer(relay=True) as own:
            own.splice(a, b)
            client.sendall(b"x" * 1000)
            return len(receive(server, 1000))

    pid, alive, answer = in_child(do)
    end_child(pid, alive)
    assert answer == "1000"


def test_forks_in_the_middle_of_a_stream(splicer, four):
    client, a, b, server = four
    splicer.splice(a, b)
    writer = threading.Thread(target=lambda: [client.sendall(LONG) for _ in range(5)])
    writer.start()
    children = []
    try:
        for _ in range(5):
            children.append(in_child(lambda: "up")[:2])
            assert receive(server, len(LONG)) == LONG
        writer.join()
        assert not select.select([server], [], [], 0.05)[0]
    finally:
        for pid, alive in children:
            end_child(pid, alive)

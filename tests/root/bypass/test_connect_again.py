"""A socket that is disconnected and connected again carries nothing over, and stays plain."""

from __future__ import annotations

import socket

import pytest

from sockproxy.net.tcp import socket_cookie
from tests.support.bypass import NAME, connections, converse, sockproxy, status
from tests.support.sockets import disconnect, receive, seen_waiting, tcp_pair

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass")]


def leave_unread(client, server, messages):
    """So many lie in the client's bypass queue, if there is one."""
    converse(client, server, size=100)
    client.sendall(b"." * 100)
    receive(server, 100)
    for _ in range(messages):
        server.sendall(b"old" * 10)


def accepted_from(listener, sock):
    sock.connect(listener.getsockname())
    server, _ = listener.accept()
    server.settimeout(20)
    return seen_waiting(server)


def assert_plain(client, other):
    """What was charged for the old connection may still be on its way into the new one."""
    seen = connections()
    again, accepted = (seen[socket_cookie(each)] for each in (client, other))
    assert (again["state"], accepted["state"]) == ("plain", "plain")
    assert "needs TCP" in again["why"]


@pytest.mark.parametrize("unread", [0, 1, 3])
@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_nothing_of_the_old_connection(bypassed_messages, unread, first):
    client, server = tcp_pair()
    leave_unread(client, server, unread)
    if first == "theirs":
        server.close()
    disconnect(client)
    with socket.create_server(("127.0.0.1", 0)) as listener, client, server:
        before = bypassed_messages()
        assert before > 0
        other = accepted_from(listener, client)
        with other:
            for number in range(12):
                other.sendall(b"new %04d" % number)
                assert receive(client, 8) == b"new %04d" % number
                client.sendall(b"answer %04d" % number)
                assert receive(other, 11) == b"answer %04d" % number
            assert bypassed_messages() == before
            if before > 1:
                assert_plain(client, other)
            other.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b""


def test_a_listener_of_it(bypassed_messages):
    client, server = tcp_pair()
    leave_unread(client, server, 1)
    disconnect(client)
    with client, server:
        client.bind(("127.0.0.1", 0))
        client.listen()
        with socket.create_connection(client.getsockname(), 20) as one:
            other = client.accept()[0]
            other.settimeout(20)
            with other:
                seen_waiting(one), seen_waiting(other)
                converse(one, other)
    assert bypassed_messages() > 0


def test_one_that_is_refused_in_between(group):
    """It keeps the flags of its old connection, and so is heard of though it was never made. Its
    next connection is given back all the same: there is room for few here."""
    sockproxy("attach", NAME, "--cgroup", group.path, "--observe", "--max-connections", "4")
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            for _ in range(8):
                client, server = tcp_pair()
                with client, server:
                    disconnect(client)
                    with pytest.raises(ConnectionRefusedError):
                        client.connect(nobody.getsockname())
                    disconnect(client)
                    accepted_from(listener, client).close()
        now = status()
        assert (now["full"], now["paired"], now["live"]) == (0, 16, 0)
    finally:
        sockproxy("detach", NAME)

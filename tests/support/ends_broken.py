"""Connections that break otherwise: taken away by ss -K, a path that is silent, ICMP errors.

In a network namespace that nobody else is in: its firewall is set.
"""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess

from tests.support.ends import converse
from tests.support.scale import patience
from tests.support.sockets import receive

SILENCE = patience(12)  # seconds until a socket must have been told
BROKEN = (ConnectionError, TimeoutError)


def trials(way):
    """What is tried -> what does it with many connections at once: (right, tried, why)."""
    yield "ss -K of the server's sockets", killed_at("sport")
    yield "ss -K of the sockets towards the server", killed_at("dport")
    if way != "bypass":  # what is bypassed meets no firewall
        yield "the server's host falls silent, with keepalive", silent_with_keepalive
        yield "the same, with the client's TCP_USER_TIMEOUT", silent_with_user_timeout
    yield "ICMP errors for half a second", icmp_errors


@contextlib.contextmanager
def many(connections, count):
    """So many pairs of ends, which have talked a little."""
    pairs = [connections.make() for _ in range(count)]
    try:
        for number, pair in enumerate(pairs):
            converse(*pair, 1 + number % 6)
        yield pairs
    finally:
        for pair in pairs:
            for sock in pair:
                sock.close()


@contextlib.contextmanager
def rule(*rules):
    """A firewall's rules, for a while."""
    for each in rules:
        subprocess.run(["iptables", "-I", *each], check=True)
    try:
        yield
    finally:
        for each in rules:
            subprocess.run(["iptables", "-D", *each], check=True)


def broken(socks, patience=SILENCE):
    """How many of them are told within `patience` seconds that their connection has failed."""
    poll, left, told = select.poll(), {sock.fileno(): sock for sock in socks}, 0
    for fd in left:
        poll.register(fd, select.POLLIN)
    while left and (events := poll.poll(patience * 1000)):
        for fd, _ in events:
            poll.unregister(fd)
            try:
                left.pop(fd).recv(1)
            except BROKEN:
                told += 1
    return told


def killed_at(side):
    """Both ends must be told, and of no end of stream."""

    def trial(connections, count):
        port = connections.listener.getsockname()[1]
        with many(connections, count) as pairs:
            subprocess.run(
                ["ss", "-K", "-tn", "state", "established", f"{side} = :{port}"],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            told = [broken(end) for end in zip(*pairs, strict=True)]
            return min(told), count, "" if min(told) == count else "not told, or an end of stream"

    return trial


def drops(connections):
    """Nothing from or to the server arrives."""
    port = str(connections.listener.getsockname()[1])
    return rule(
        ("INPUT", "-p", "tcp", "--dport", port, "-j", "DROP"),
        ("INPUT", "-p", "tcp", "--sport", port, "-j", "DROP"),
    )


def is_direct(connections):
    return connections.address == connections.listener.getsockname()


def silent_with_keepalive(connections, count):
    """The client must be told. A proxy has --keepalive of its own; else it is the client's."""
    with many(connections, count) as pairs:
        clients = [client for client, _ in pairs]
        if is_direct(connections):
            for client in clients:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        with drops(connections):
            told = broken(clients)
    return told, count, "" if told == count else "not told"


def silent_with_user_timeout(connections, count):
    with many(connections, count) as pairs:
        clients = [client for client, _ in pairs]
        for client in clients:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000)
        with drops(connections):
            for client in clients:
                client.sendall(b"x")
            told = broken(clients)
    return told, count, "" if told == count else "not told"


def icmp_errors(connections, count):
    """They are passing ones to an established connection: all arrives when they are over."""
    port = str(connections.listener.getsockname()[1])
    right, why = 0, ""
    with many(connections, count) as pairs:
        with rule(("INPUT", "-p", "tcp", "--dport", port, "-j", "REJECT")):
            for number, (client, _) in enumerate(pairs):
                client.sendall(b"%100d" % number)
            select.select([], [], [], 0.5)
        for number, (client, server) in enumerate(pairs):
            try:
                assert receive(server, 100) == b"%100d" % number, "wrong bytes"
                converse(client, server, 1)
                right += 1
            except (AssertionError, OSError) as error:
                why = why or str(error)
    return right, count, why

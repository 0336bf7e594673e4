"""Cases: poll, select and epoll."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import time

from tests.support.calls import (
    case,
    later,
    meanwhile,
    names_of,
    pattern,
    polled,
    read_to_end,
    tried,
    wait_readable,
)
from tests.support.calls_write import fill
from tests.support.scale import patience
from tests.support.sockets import receive

DONTWAIT = socket.MSG_DONTWAIT
F_SETSIG = 10


class Events:
    """An epoll with one socket."""

    def __init__(self, sock, mask):
        self.sock = sock
        self.epoll = select.epoll()
        self.epoll.register(sock, mask)

    def wait(self, seconds=0.1):
        """The names of what it tells next; none if nothing."""
        return [names_of(mask, "EPOLL") for _, mask in self.epoll.poll(patience(seconds))]

    def arm(self, mask):
        """EPOLL_CTL_MOD."""
        self.epoll.modify(self.sock, mask)


@case
def poll_masks(client, server):
    idle = polled(client)
    server.sendall(b"abc")
    wait_readable(client)
    some = polled(client)
    client.recv(2)
    left = polled(client)
    client.recv(2)
    return idle, some, left, polled(client)


@case
def poll_wakes(client, server):
    poller = select.poll()
    poller.register(client, select.POLLIN)
    told = []
    for _ in range(5):
        with meanwhile(later, 0.05, server.sendall, b"abc"):
            told += [names_of(mask, "POLL") for _, mask in poller.poll(patience(5000))]
        told.append(client.recv(9))
    return told


@case
def select_sets(client, server):
    def which():
        return [bool(each) for each in select.select([client], [client], [client], 0)]

    idle = which()
    server.sendall(b"abc")
    wait_readable(client)
    some = which()
    client.recv(9)
    return idle, some, which()


@case
def epoll_level(client, server):
    events = Events(client, select.EPOLLIN | select.EPOLLOUT)
    told = [events.wait()]
    server.sendall(b"abc")
    wait_readable(client)
    told += [events.wait(), events.wait()]
    client.recv(2)
    told.append(events.wait())
    client.recv(2)
    return [*told, events.wait()]


@case
def epoll_edge(client, server):
    events = Events(client, select.EPOLLIN | select.EPOLLET)
    told = [events.wait()]
    for _ in range(2):
        server.sendall(b"abc")
        told += [events.wait(2), events.wait()]
    told.append(client.recv(4))
    told.append(events.wait())
    server.sendall(b"def")
    told += [events.wait(2), events.wait(), client.recv(99)]
    return told


@case
def epoll_edge_with_two_messages_before(client, server):
    events = Events(client, select.EPOLLIN | select.EPOLLET)
    server.sendall(b"abc")
    server.sendall(b"def")
    wait_readable(client)
    return events.wait(2), events.wait(), client.recv(99), events.wait()


@case
def epoll_edge_of_a_new_epoll(client, server):
    server.sendall(b"abc")
    wait_readable(client)
    events = Events(client, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
    return events.wait(), events.wait(), client.recv(9)


@case
def epoll_edge_many_messages(client, server):
    """As event loops do: read until EAGAIN, then wait for the next edge."""
    client.setblocking(False)
    events = Events(client, select.EPOLLIN | select.EPOLLET)

    def send():
        for number in range(3000):
            server.sendall(pattern(80, number * 80))
            if not number % 500:
                time.sleep(0.005)

    parts, size = [], 0
    with meanwhile(send):
        while size < 240_000:
            assert events.wait(5), f"no edge after {size}"
            while (part := tried(client.recv, 1000)) != "EAGAIN":
                parts.append(part)
                size += len(part)
                if size % 7 == 0:
                    client.sendall(b"!")
    return b"".join(parts) == pattern(240_000)


@case
def epoll_writable_edge(client, server):
    client.setblocking(False)
    events = Events(client, select.EPOLLOUT | select.EPOLLET)
    told = [events.wait(), events.wait()]
    taken, _ = fill(client)
    while more := events.wait():  # a proxy in between makes room, sooner or later
        taken, _ = fill(client, taken=taken)
    assert receive(server, taken) == pattern(taken)
    return [*told, more, events.wait(5)]


@case
def epoll_half_closed_and_closed(client, server):
    mask = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP
    events, edges = Events(client, mask), Events(client, mask | select.EPOLLET)
    told = [events.wait(), edges.wait()]
    server.sendall(b"abc")
    server.shutdown(socket.SHUT_WR)
    wait_readable(client)
    told += [events.wait(), edges.wait(), edges.wait()]
    told += [client.recv(9), client.recv(9), events.wait()]
    client.shutdown(socket.SHUT_WR)
    time.sleep(0.1)
    return [*told, events.wait(), edges.wait(), tried(client.send, b"x")]


@case
def epoll_reset(client, server):
    events = Events(client, select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    server.close()
    wait_readable(client)
    return events.wait(), tried(client.recv, 9), events.wait()


@case
def epoll_oneshot(client, server):
    mask = select.EPOLLIN | select.EPOLLONESHOT
    events = Events(client, mask)
    server.sendall(b"abcdef")
    told = [events.wait(2), events.wait(), client.recv(4)]
    events.arm(mask)
    told += [events.wait(2), client.recv(4), events.wait()]
    events.arm(mask)
    told.append(events.wait())
    server.sendall(b"ghi")
    return [*told, events.wait(2), client.recv(9)]


@case
def epoll_of_two_epolls(client, server):
    one, other = Events(client, select.EPOLLIN), Events(client, select.EPOLLIN)
    server.sendall(b"abc")
    wait_readable(client)
    told = [one.wait(), other.wait(), client.recv(9)]
    return [*told, one.wait(), other.wait()]


@case
def asynchronous_signal(client, server):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGIO})
    fcntl.fcntl(client, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(client, fcntl.F_GETFL)
    fcntl.fcntl(client, fcntl.F_SETFL, flags | os.O_ASYNC)
    server.sendall(b"abc")
    told = signal.sigtimedwait({signal.SIGIO}, patience(2))
    return told and told.si_signo, client.recv(9)


@case
def poll_then_read_to_the_end(client, server):
    for number in range(5):
        server.sendall(pattern(80, number * 80))
    server.close()
    wait_readable(client)
    before = polled(client)
    return before, read_to_end(client, 33), polled(client)

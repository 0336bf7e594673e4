"""Sockets for probes: pairs on loopback, spliced ones, and some inside of a bypass."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Callable, Iterator
from typing import Any

from sockproxy.bpf.splice import SockmapKernel
from sockproxy.bypass.attach import attach
from sockproxy.bypass.detach import detach
from sockproxy.bypass.options import BypassOptions
from sockproxy.bypass.view import bypass_status
from sockproxy.cgroup import create_owned, is_owner_dead, owner_mark, sweep
from sockproxy.errors import SockproxyError, Unsupported
from sockproxy.net.tcp import loopback_pair
from sockproxy.rundir import pins
from sockproxy.splicer.splicer import Splicer

__all__ = ["accept_late", "bypassed", "converse", "enrolling", "have_patience", "patience",
           "spliced_pair", "tcp_pair", "tidy"]  # fmt: skip

NAME = "doctor-"  # then the pid and the start time of the probe's process
SHARE = 0.4  # of a probe's time: one that waits in vain can still say for what
_patience = 2.0
_level = select.epoll()
DRAIN = 2.0  # seconds


def have_patience(seconds: float) -> None:
    """This process is a probe's, which may take so long."""
    global _patience
    _patience = seconds * SHARE


def patience() -> float:
    """Seconds to wait for a few bytes on loopback."""
    return _patience


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets on loopback, both in an epoll set: who is not seen waiting is not
    bypassed to."""
    pair = loopback_pair(patience())
    for sock in pair:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as servers do
        _level.register(sock, select.EPOLLIN)
    return pair


def spliced_pair(splicer: Splicer) -> tuple[socket.socket, socket.socket, Any]:
    """Two far ends, and the splice between them."""
    if not splicer.accelerated:
        raise Unsupported("not tried: the programs do not load", hint="see 'splice: moving'")
    client, near = tcp_pair()
    server, far = tcp_pair()
    return client, server, splicer.splice(near, far)


@contextlib.contextmanager
def bypassed(*, observe: bool = False) -> Iterator[Callable[[str], int]]:
    """This process in a cgroup with a bypass; a function that tells a figure of its status,
    such as "bypassed_messages"."""
    name = NAME + owner_mark().replace(".", "-")
    group = create_owned("doctor")
    try:
        attach(
            name,
            group.path,
            BypassOptions(
                observe=observe,
                connections=8,
                force=True,
                blocking_readers=True,
                fionread_is_wrong=False,  # so that nothing shies from a probe that asks
            ),
        )
        try:
            with group.entered():
                yield lambda figure: int(bypass_status(name)[figure])
        finally:
            detach(name, DRAIN)
    finally:
        group.remove()


@contextlib.contextmanager
def enrolling() -> Iterator[SockmapKernel]:
    """This process in a cgroup whose connections the splice's sock_ops program enrols."""
    group = create_owned("doctor")
    try:
        with contextlib.closing(SockmapKernel(8)) as kernel:
            fd = group.open()
            kernel.watch_cgroup(fd)
            os.close(fd)
            with group.entered():
                yield kernel
    finally:
        group.remove()


def tidy() -> None:
    """Remove what probes that were killed have left: their bypasses and their cgroups."""
    with contextlib.suppress(SockproxyError):  # no right to, and so nothing was made
        for name in pins.names():
            mark = name.removeprefix(NAME).replace("-", ".")
            if name.startswith(NAME) and is_owner_dead(f"{NAME}.{mark}"):
                with contextlib.suppress(SockproxyError):
                    detach(name, DRAIN)
        pins.collect()
    with contextlib.suppress(SockproxyError):
        sweep()


def converse(one: socket.socket, other: socket.socket, turns: int = 8) -> None:
    """Requests of one byte and their answers, each looked at."""
    for number in range(turns):
        message = bytes([number])
        one.sendall(message)
        got = other.recv(2)
        other.sendall(got)
        if got != message or one.recv(2) != message:
            raise SockproxyError(f"message {number} came as another")


def accept_late() -> str:
    """A connection whose bytes come before accept(), and whose end has to wake a poller."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname(), patience()) as one,
        select.epoll() as poll,
    ):
        one.sendall(b"early")
        other, _ = listener.accept()
        with other:
            other.settimeout(patience())
            received = other.recv(100)
            other.sendall(b"answer")
            one.recv(100)
            poll.register(other, select.EPOLLIN)
            one.shutdown(socket.SHUT_WR)
            woken = bool(poll.poll(patience() / 2))
            end = other.recv(1)
    if (received, end) != (b"early", b""):
        raise SockproxyError(f"received {received!r}, end {end!r}")
    if not woken:  # or not yet
        raise TimeoutError("the end of the stream wakes nobody")
    return "early bytes, and an end that wakes"

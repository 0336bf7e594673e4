"""What comes before accept() is read after it on a socket that sock_ops has enrolled.

So are all of a proxy's, before it splices them. From 6.0 to 6.4, without ea444185 and
901546fd8f9c, such data stalls in some sockmaps, and a FIN gives EAGAIN in place of 0.
"""

from __future__ import annotations

import select
import socket

from sockproxy.controller.doctor.probe import Kind, Probe
from sockproxy.controller.doctor.sockets import enrolling, patience
from sockproxy.controller.mechanisms import ENROL
from sockproxy.errors import SockproxyError

__all__ = ["PROBE"]


def run() -> str:
    with enrolling() as kernel:
        _converse()
        enrolled = kernel.enrolments()["enrolled"]
    if enrolled != 2:
        raise SockproxyError(f"not tried: {enrolled} of 2 sockets were enrolled")
    return "early bytes, and an end that wakes"


def _converse() -> None:
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
            poll.register(other, select.EPOLLIN)
            one.shutdown(socket.SHUT_WR)
            woken = bool(poll.poll(patience() / 2))
            end = other.recv(1)
    if (received, woken, end) != (b"early", True, b""):
        raise SockproxyError(f"received {received!r}, woken: {woken}, end {end!r}")


PROBE = Probe(
    "accept of enrolled",
    run,
    "'proxy' enrols sockets one by one on this kernel; report it",
    Kind.BUG,
    (ENROL,),
)

"""What comes before accept() is read after it, and the end of the stream wakes a poller.

From 6.0 to 6.4, without ea444185 and 901546fd8f9c, data that came before accept() stalls on
an enrolled socket, and a FIN gives EAGAIN in place of 0.
"""

from __future__ import annotations

import select
import socket

from sockproxy.controller.doctor.probe import Kind, Probe
from sockproxy.controller.doctor.sockets import bypassed, patience
from sockproxy.controller.mechanisms import BYPASS
from sockproxy.errors import SockproxyError

__all__ = ["PROBE"]


def run() -> str:
    with (
        bypassed(),
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname(), patience()) as one,
        select.epoll() as poll,
    ):
        one.sendall(b"early")
        other, _ = listener.accept()
        other.settimeout(patience())
        received = other.recv(100)
        other.sendall(b"answer")
        one.recv(100)
        poll.register(other, select.EPOLLIN)
        one.shutdown(socket.SHUT_WR)
        woken = bool(poll.poll(patience() / 2))
        end = other.recv(1)
        other.close()
    if (received, woken, end) != (b"early", True, b""):
        raise SockproxyError(f"received {received!r}, woken: {woken}, end {end!r}")
    return "early bytes, and an end that wakes"


PROBE = Probe(
    "late accept",
    run,
    "use 'attach --observe' on this kernel, and report it",
    Kind.BUG,
    (BYPASS,),
)

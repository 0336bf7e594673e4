"""What Linux's TCP sockets tell and take by socket options."""

from __future__ import annotations

import socket
import struct

__all__ = ["fence", "kick", "set_keepalive", "socket_cookie", "take_error", "tcp_state"]

SO_COOKIE = 57
TCP_ULP = 31
_COOKIE = struct.Struct("=Q")

TCP_CLOSE = 7


def socket_cookie(sock: socket.socket) -> int:
    """The number by which BPF knows the socket (SO_COOKIE); never reused until reboot."""
    cookie: int = _COOKIE.unpack(sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))[0]
    return cookie


def kick(sock: socket.socket) -> None:
    """Make the kernel look at what arrived before the socket was enrolled.

    tcp_set_rcvlowat() calls data_ready, which wakes the strparser.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


def fence(sock: socket.socket) -> int:
    """Wait until nobody holds the socket's lock; its TCP state.

    tcp_get_info() takes the lock. What a BPF program is told before a fence, every
    run of it under that lock obeys after the fence.
    """
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


def tcp_state(sock: socket.socket) -> int:
    """The TCP state (TCP_CLOSE is 7)."""
    return fence(sock)


def take_error(sock: socket.socket) -> int:
    """The socket's pending error, which this clears; 0 when there is none."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def set_keepalive(sock: socket.socket, seconds: int) -> None:
    """Probe a silent peer after `seconds`, and as often again; three lost probes end it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, seconds)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, seconds)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)

"""What Linux's TCP sockets tell and take by socket options."""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Iterable

__all__ = [
    "EVERY_END",
    "OF_ANOTHER",
    "Option",
    "close_with_reset",
    "is_fresh",
    "kept_alive",
    "loopback_pair",
    "marked",
    "set_options",
    "socket_cookie",
    "spared_pacing",
    "undelayed",
]

SO_COOKIE = 57
SO_MARK = 36
TCP_CONGESTION = 13
_COOKIE = struct.Struct("=Q")
SIOCINQ = 0x541B
_INT = struct.Struct("=i")
# struct tcp_info: tcpi_bytes_received, tcpi_notsent_bytes, tcpi_data_segs_out.
_COUNTS = struct.Struct("=128xQ8xI8xI")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Option = tuple[int, int, bytes]
"""What setsockopt() takes: level, name, value."""

EVERY_END: tuple[Option, ...] = (
    (socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE),
    (socket.SOL_SOCKET, socket.SO_OOBINLINE, _INT.pack(1)),
)
"""Make the kernel close a socket with a RST, and keep urgent bytes in the stream.

The sockets that a listener accepts inherit both. However this process ends, kill -9 too, the
peer then sees a RST (tcp_close() looks at SO_LINGER): a FIN would make a stream that was cut
look complete. And an urgent byte stays in band (SO_OOBINLINE): out of band, tcp_check_urg()
drops it when the next one comes.
"""


OF_ANOTHER: tuple[Option, ...] = (
    *EVERY_END,
    (socket.SOL_SOCKET, socket.SO_RCVLOWAT, _INT.pack(1)),
)
"""The same of a socket that another program has made, whose SO_RCVLOWAT may keep epoll from telling
of the first bytes: what listens hands that down too."""


def socket_cookie(sock: socket.socket) -> int:
    """The number by which BPF knows the socket (SO_COOKIE); never reused until reboot."""
    cookie: int = _COOKIE.unpack(sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))[0]
    return cookie


def loopback_pair(timeout: float) -> tuple[socket.socket, socket.socket]:
    """Two connected sockets on loopback, client and server, which wait so many seconds at most."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), timeout)
        server, _ = listener.accept()
    server.settimeout(timeout)
    return client, server


def is_fresh(sock: socket.socket, read: int) -> bool:
    """Whether nothing was sent on a connected socket, and nothing read but `read` bytes.

    One whose peer has ended its stream is not: TCP counts a FIN as a byte that was received.
    """
    received, not_sent, segments = _COUNTS.unpack(
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _COUNTS.size)
    )
    unread: int = _INT.unpack(fcntl.ioctl(sock, SIOCINQ, bytes(_INT.size)))[0]
    return not not_sent and not segments and received - unread == read


def spared_pacing() -> tuple[Option, ...]:
    """What takes BBR off a socket whose peer will be on this host; none where BBR is not what
    sockets have.

    BBR sends by a timer, so that a loopback stream runs at a third of its speed. To be set
    before the connection is made: pacing once begun stays (sk_pacing_status). A listener passes
    it on to what it accepts.
    """
    with socket.socket() as sock:
        chosen = sock.getsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, 16)
    if not chosen.startswith(b"bbr"):
        return ()
    return ((socket.IPPROTO_TCP, TCP_CONGESTION, b"reno"),)


def set_options(sock: socket.socket, options: Iterable[Option]) -> None:
    """setsockopt() for each. Raises OSError."""
    for option in options:
        sock.setsockopt(*option)


def close_with_reset(sock: socket.socket) -> None:
    """Close the socket and tell its peer by a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    sock.close()


def marked(mark: int) -> tuple[Option, ...]:
    """What lets netfilter and routing know the socket's packets by a number of 32 bits; it takes
    CAP_NET_ADMIN."""
    return ((socket.SOL_SOCKET, SO_MARK, struct.pack("I", mark)),)


def kept_alive(seconds: int) -> tuple[Option, ...]:
    """What probes a silent peer after `seconds`, and as often again; three lost probes end it."""
    return (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, _INT.pack(1)),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _INT.pack(seconds)),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _INT.pack(seconds)),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _INT.pack(3)),
    )


def undelayed(yes: bool) -> tuple[Option, ...]:
    """TCP_NODELAY: what is small is sent at once."""
    return ((socket.IPPROTO_TCP, socket.TCP_NODELAY, _INT.pack(yes)),)

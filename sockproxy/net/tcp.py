"""What Linux's TCP sockets tell and take by socket options."""

from __future__ import annotations

import fcntl
import select
import socket
import struct
from collections.abc import Iterable

__all__ = [
    "EVERY_END",
    "Option",
    "at_urgent_mark",
    "close_in_order",
    "close_with_reset",
    "fence",
    "has_space",
    "is_fresh",
    "kept_alive",
    "kick",
    "loopback_pair",
    "marked",
    "set_options",
    "socket_cookie",
    "spared_pacing",
    "take_error",
    "unacknowledged",
    "undelayed",
    "upper_protocol",
]

SO_COOKIE = 57
SO_MARK = 36
TCP_CONGESTION = 13
TCP_ULP = 31
_COOKIE = struct.Struct("=Q")
SIOCATMARK = 0x8905
SIOCOUTQ = 0x5411
SIOCINQ = 0x541B
_INT = struct.Struct("=i")
# struct tcp_info: tcpi_bytes_received, tcpi_notsent_bytes, tcpi_data_segs_out.
_COUNTS = struct.Struct("=128xQ8xI8xI")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_LINGER_OFF = struct.pack("ii", 0, 0)

TCP_CLOSE = 7

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


def socket_cookie(sock: socket.socket) -> int:
    """The number by which BPF knows the socket (SO_COOKIE); never reused until reboot."""
    cookie: int = _COOKIE.unpack(sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))[0]
    return cookie


def kick(sock: socket.socket) -> None:
    """Make the kernel look at what arrived before the socket was enrolled.

    tcp_set_rcvlowat() calls data_ready, which wakes the strparser.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


def loopback_pair(timeout: float) -> tuple[socket.socket, socket.socket]:
    """Two connected sockets on loopback, client and server, which wait so many seconds at most."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), timeout)
        server, _ = listener.accept()
    server.settimeout(timeout)
    return client, server


def fence(sock: socket.socket) -> int:
    """Wait until nobody holds the socket's lock; its TCP state.

    tcp_get_info() takes the lock. What a BPF program is told before a fence, every
    run of it under that lock obeys after the fence.
    """
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


def has_space(sock: socket.socket) -> bool:
    """Whether a third of the send buffer is free, or the connection has failed.

    If not, epoll has an edge of EPOLLOUT once it is: tcp_poll() has set SOCK_NOSPACE, and looked
    again after that, and so tcp_check_space() calls sk_write_space, which a psock hands on.
    """
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    return bool(poll.poll(0))


def is_fresh(sock: socket.socket, read: int) -> bool:
    """Whether nothing was sent on a connected socket, and nothing read but `read` bytes.

    One whose peer has ended its stream is not: TCP counts a FIN as a byte that was received.
    """
    received, not_sent, segments = _COUNTS.unpack(
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _COUNTS.size)
    )
    unread: int = _INT.unpack(fcntl.ioctl(sock, SIOCINQ, bytes(_INT.size)))[0]
    return not not_sent and not segments and received - unread == read


def take_error(sock: socket.socket, *, sending: bool) -> int:
    """The socket's pending error, which this clears; 0 when there is none.

    sending: whether the kernel may be sending redirected bytes on it. SO_ERROR clears
    sk_err without the socket's lock; a tcp_sendmsg_locked() that has just seen it set,
    and finds none in sk_stream_error(), reports EPIPE, and sk_psock_backlog() gives up
    for good. A send of nothing reports the error under the lock. (After our own FIN
    it would always be EPIPE, but then nobody sends.)
    """
    if not sending:
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    try:
        sock.send(b"", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    except OSError as error:
        return error.errno or 0
    return 0


def upper_protocol(sock: socket.socket) -> str:
    """The upper layer protocol (ULP) that the kernel runs on the socket, such as "tls"; "" for
    none."""
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, TCP_ULP, 16).rstrip(b"\0").decode()
    except OSError:
        return ""  # a kernel that knows none


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


def close_in_order(sock: socket.socket) -> None:
    """Close the socket; what was sent and its end still arrive."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_OFF)
    sock.close()


def close_with_reset(sock: socket.socket) -> None:
    """Close the socket and tell its peer by a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    sock.close()


def unacknowledged(sock: socket.socket) -> int:
    """Bytes sent, and the FIN, that the peer has not acknowledged."""
    return _ask(sock.fileno(), SIOCOUTQ)


def at_urgent_mark(fd: int) -> bool:
    """Whether the next byte to be read of the socket is the urgent one."""
    return _ask(fd, SIOCATMARK) != 0


def _ask(fd: int, what: int) -> int:
    answer: int = _INT.unpack(fcntl.ioctl(fd, what, bytes(_INT.size)))[0]
    return answer


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

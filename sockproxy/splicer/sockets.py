"""The caller's sockets and bytes, before a splice may have them."""

from __future__ import annotations

import socket
import sys

from sockproxy.errors import UsageError
from sockproxy.net.address import peer_address
from sockproxy.net.tcp import OF_ANOTHER, set_options

__all__ = ["check_socket", "read_ahead", "take_over"]


def check_socket(sock: socket.socket) -> None:
    """Raise UsageError unless `sock` is a connected TCP socket, without TLS."""
    if not isinstance(sock, socket.socket):
        raise UsageError(
            f"splice a {type(sock).__name__}",
            hint="give a socket.socket; sockproxy.detach_stream() has that of an asyncio stream",
        )
    # Who has such a socket has imported ssl, which takes its time.
    ssl = sys.modules.get("ssl")
    if ssl is not None and isinstance(sock, ssl.SSLSocket):
        raise UsageError(
            "splice a socket with TLS",
            hint="its bytes are encrypted in user space: splice where TLS passes through, or copy"
            " with recv() and sendall()",
        )
    try:
        if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
            raise UsageError("splice something other than a TCP socket")
        peer_address(sock)
    except OSError as error:
        raise UsageError(
            "splice a socket", errno=error.errno, hint="both sockets must be open and connected"
        ) from None


def read_ahead(already_read: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """A copy of both. Raises UsageError for what is no pair of bytes."""
    try:
        first, second = already_read
        return bytes(memoryview(first)), bytes(memoryview(second))
    except (TypeError, ValueError):
        raise UsageError(
            "already_read", hint="give the bytes read from a, and those from b: (b'...', b'')"
        ) from None


def take_over(sock: socket.socket) -> socket.socket:
    """A non-blocking object for the connection, whose former object is closed."""
    taken = socket.socket(sock.family, sock.type, sock.proto, sock.detach())
    taken.setblocking(False)
    set_options(taken, OF_ANOTHER)
    return taken

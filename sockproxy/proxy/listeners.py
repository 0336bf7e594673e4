"""The proxy's listening sockets, from which the worker accepts."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from sockproxy.errors import SockproxyError
from sockproxy.net.address import Address
from sockproxy.net.systemd import Passed, address_of
from sockproxy.net.tcp import EVERY_END, Option, set_options, spared_pacing

__all__ = ["BACKLOG", "Listeners"]

BACKLOG = 1024  # clients of one socket that may wait to be accepted


class Listeners:
    """options: of the clients' sockets, which inherit them. sockets: those that listen."""

    def __init__(self, options: Iterable[Option]) -> None:
        self._options = (*EVERY_END, *options)
        self.sockets: list[socket.socket] = []

    def bind(self, address: Address) -> Address:
        """Listen there, but accept nobody yet; the address with the port that it has.

        Raises SockproxyError.
        """
        sock = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if address.family == socket.AF_INET6:
                # [::] serves IPv4 as well, as v4-mapped addresses.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            set_options(sock, self._options)
            if address.loopback:
                set_options(sock, spared_pacing())
            sock.bind(address.sockaddr)
            sock.listen(BACKLOG)
            sock.setblocking(False)
        except OSError as error:
            sock.close()
            raise SockproxyError(
                f"listen on {address}", errno=error.errno, hint="choose another --listen"
            ) from None
        self.sockets.append(sock)
        return address_of(sock)

    def adopt(self, passed: Passed) -> list[Address]:
        """Listen on sockets that are there already. Their addresses. Raises SockproxyError."""
        taken = passed.take()
        self.sockets += taken
        try:
            for sock in taken:
                set_options(sock, self._options)
                if address_of(sock).loopback:
                    set_options(sock, spared_pacing())
                sock.setblocking(False)
        except OSError as error:
            raise SockproxyError(f"listen on {passed}", errno=error.errno) from None
        return [address_of(sock) for sock in taken]

    def close(self) -> None:
        """Listen no more. Twice is allowed."""
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()

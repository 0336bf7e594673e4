"""The proxy's listening sockets: where clients are accepted, and when they have to wait."""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
from collections.abc import Callable
from functools import partial

from sockproxy.errors import SockproxyError
from sockproxy.net.address import Address
from sockproxy.net.tcp import keep_every_end, spare_pacing
from sockproxy.proxy.seldom import Seldom
from sockproxy.worker.descriptors import SHORTAGE, SHORTAGE_PAUSE
from sockproxy.worker.door import Loop

__all__ = ["BACKLOG", "Listeners"]

log = logging.getLogger("sockproxy.proxy")

BACKLOG = 1024  # clients of one socket that may wait to be accepted
ACCEPTS = 64  # before other events have their turn


class Listeners:
    """All methods belong to the loop's thread, or come before it runs.

    has_room: whether one more client may be accepted. accepted: receives a non-blocking socket and
    the (host, port) that it comes from.
    """

    def __init__(
        self,
        loop: Loop,
        *,
        has_room: Callable[[], bool],
        accepted: Callable[[socket.socket, tuple[str, int]], None],
    ) -> None:
        self._loop, self._has_room, self._accepted = loop, has_room, accepted
        self.sockets: list[socket.socket] = []
        self._accepting = False
        self._shortages = Seldom(log)

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
            if address.loopback:
                spare_pacing(sock)
            keep_every_end(sock)
            sock.bind(address.sockaddr)
            sock.listen(BACKLOG)
            sock.setblocking(False)
        except OSError as error:
            sock.close()
            raise SockproxyError(
                f"listen on {address}", errno=error.errno, hint="choose another --listen"
            ) from None
        self.sockets.append(sock)
        host, port = sock.getsockname()[:2]
        return Address(address.family, host, port)

    def accept(self) -> None:
        """Accept from now on, as long as there is room; in a shortage a moment later. Twice is
        allowed."""
        if not self._accepting and self.sockets:
            self._accepting = True
            try:
                for sock in self.sockets:
                    self._loop.watch(sock.fileno(), select.EPOLLIN, partial(self._accept, sock))
            except OSError as error:  # who calls may have been told of an end, and must not fail
                self._wait_for_more(error.errno or errno.ENOMEM)

    def _pause(self) -> None:
        """Accept nobody until accept(): new clients wait in the backlog."""
        if self._accepting:
            self._accepting = False
            for sock in self.sockets:
                self._loop.unwatch(sock.fileno())

    def close(self) -> None:
        """Listen no more. Twice is allowed."""
        self._pause()
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()

    def _accept(self, listener: socket.socket, _events: int) -> None:
        for _ in range(ACCEPTS):
            if not self._has_room():
                self._pause()
                return
            try:
                client, peer = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in SHORTAGE:  # the client waits on: it is not taken before
                    self._wait_for_more(error.errno)
                    return
                continue  # the client gave up while it waited
            client.setblocking(False)
            self._accepted(client, peer[:2])

    def _wait_for_more(self, number: int) -> None:
        """Accept again in a moment. number: the errno."""
        self._shortages.say(lambda: f"accept: {os.strerror(number).lower()}; clients wait")
        self._pause()
        self._loop.later(SHORTAGE_PAUSE, self.accept)

"""The proxy's connections to upstreams: where to, with what options, and none to itself."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Collection, Sequence
from functools import partial

from sockproxy.net.address import Address, Host, original_destination
from sockproxy.net.tcp import (
    close_with_reset,
    keep_every_end,
    set_keepalive,
    set_mark,
    spare_pacing,
)
from sockproxy.proxy.own import OwnConnections
from sockproxy.proxy.seldom import Seldom
from sockproxy.proxy.upstreams import Upstreams
from sockproxy.worker.connect import Attempts, Connector
from sockproxy.worker.door import Loop

__all__ = ["Outgoing", "Refused"]

log = logging.getLogger("sockproxy.proxy")


class Refused(Exception):
    """A client that is not to be served, and why."""


class Outgoing(Attempts):
    """What the proxy does at each attempt to connect, and knows of those that it made.

    hosts: taken in turn; none for the original destination of a REDIRECT.
    timeout: seconds for each attempt. mark: the SO_MARK of the sockets.
    nodelay, keepalive: options of all the proxy's sockets, the clients' too; seconds, or None for
    the system's default.

    Raises PermissionDenied when sockets may not be marked.
    """

    def __init__(
        self,
        hosts: Sequence[Host],
        timeout: float,
        *,
        mark: int | None,
        nodelay: bool,
        keepalive: int | None,
    ) -> None:
        self._mark, self._nodelay, self._keepalive = mark, nodelay, keepalive
        self.connecting: dict[socket.socket, Connector] = {}
        """The attempts that clients wait for, by the client."""
        self._own = OwnConnections()
        self._upstreams = Upstreams(hosts, timeout, self) if hosts else None
        self._loops = Seldom(log)
        if mark is not None:
            with socket.socket() as sock:  # now, and not with the first client
                set_mark(sock, mark)

    def open(self, loop: Loop) -> None:
        """Begin to look after upstreams that do not answer, and names that move."""
        if self._upstreams is not None:
            self._upstreams.open(loop)

    def close(self) -> None:
        """Look after them no more. Twice is allowed."""
        if self._upstreams is not None:
            self._upstreams.close()

    def candidates(
        self, client: socket.socket, peer: tuple[str, int]
    ) -> Callable[[Collection[Address]], Address | None]:
        """Where a Connector is to try for a client, accepted from `peer`, whose socket has its
        options then. Raises Refused."""
        self._set_options(client)
        if self._own.comes_back(client, peer):
            self._loops.say(self._told_of_loop)
            raise Refused("it is this proxy's own connection")  # it would come again, for ever
        if self._upstreams is not None:
            return self._upstreams.next
        meant = original_destination(client)
        if meant is None:
            raise Refused("no original destination: the connection was not redirected")
        return partial(_once, meant)

    def _told_of_loop(self) -> str:
        mark = self._mark or 1
        option = f"--mark {mark} and " if self._mark is None else ""
        other = ", or choose another --upstream" if self._upstreams is not None else ""
        return (
            "refused a connection of this proxy that came back to it; exclude them with"
            f" {option}'iptables -t nat -I OUTPUT -p tcp -m mark --mark {mark} -j RETURN'{other}"
        )

    def _set_options(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, self._nodelay)
        if self._keepalive is not None:
            set_keepalive(sock, self._keepalive)

    def prepare(self, sock: socket.socket, address: Address) -> None:
        self._set_options(sock)
        keep_every_end(sock)
        if self._mark is not None:
            set_mark(sock, self._mark)
        if address.loopback:
            spare_pacing(sock)

    def begun(self, sock: socket.socket, address: Address) -> None:
        self._own.add(sock, address)

    def failed(self, address: Address, number: int) -> None:
        if self._upstreams is not None and self._upstreams.failed(address, number):
            for connector in list(self.connecting.values()):
                connector.pass_over(address)

    def discard(self, sock: socket.socket) -> None:
        self._own.drop(sock.fileno())
        close_with_reset(sock)

    def paired(self, fd: int, number: int) -> None:
        """The connection with this descriptor is the worker's now, by this number."""
        self._own.paired(fd, number)

    def ended(self, number: int) -> None:
        """The worker's connection of this number has ended."""
        self._own.ended(number)


def _once(address: Address, tried: Collection[Address]) -> Address | None:
    """The candidate where there is one only."""
    return None if tried else address

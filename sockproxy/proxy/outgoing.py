"""The proxy's connections to upstreams: where to, with what options, and none to itself."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial

from sockproxy.net.address import Address, Host, original_destination
from sockproxy.net.tcp import close_with_reset, keep_every_end, set_mark, spare_pacing
from sockproxy.proxy.own import OwnConnections
from sockproxy.proxy.upstreams import Upstreams
from sockproxy.worker.connect import Attempts, Connector
from sockproxy.worker.loop import EventLoop

__all__ = ["Outgoing"]

LOOP_PAUSE = 60.0  # seconds between two lines about a loop


class Outgoing(Attempts):
    """What the proxy does at each attempt to connect, and knows of those that it made.

    hosts: taken in turn; none for the original destination of a REDIRECT.
    timeout: seconds for each attempt. mark: the SO_MARK of the sockets.
    prepare: sets the options that the proxy gives to all its sockets.
    log: receives one line for each noteworthy event.

    Raises PermissionDenied when sockets may not be marked.
    """

    def __init__(
        self,
        hosts: Sequence[Host],
        timeout: float,
        *,
        mark: int | None,
        prepare: Callable[[socket.socket], None],
        log: Callable[[str], None],
    ) -> None:
        self._mark, self._prepare = mark, prepare
        self.connecting: dict[socket.socket, Connector] = {}
        """The attempts that clients wait for, by the client."""
        self._log = log
        self._own = OwnConnections()
        self._upstreams = Upstreams(hosts, timeout, self, log) if hosts else None
        self._loop_told = -LOOP_PAUSE
        if mark is not None:
            with socket.socket() as sock:  # now, and not with the first client
                set_mark(sock, mark)

    def open(self, loop: EventLoop) -> None:
        """Begin to look after upstreams that do not answer, and names that move."""
        if self._upstreams is not None:
            self._upstreams.open(loop)

    def close(self) -> None:
        """Look after them no more. Twice is allowed."""
        if self._upstreams is not None:
            self._upstreams.close()

    def candidates(
        self, client: socket.socket
    ) -> Callable[[Collection[Address]], Address | None] | None:
        """Where a Connector is to try; None for a client that was to be redirected, and was not."""
        if self._upstreams is not None:
            return self._upstreams.next
        meant = original_destination(client)
        return partial(_once, meant) if meant is not None else None

    def comes_back(self, client: socket.socket, peer: tuple[str, int]) -> bool:
        """Whether the accepted connection, from `peer`, is one of ours: it would come again, for
        ever."""
        if not self._own.comes_back(client, peer):
            return False
        now = time.monotonic()
        if now - self._loop_told >= LOOP_PAUSE:
            self._loop_told = now
            self._log(self._told_of_loop())
        return True

    def _told_of_loop(self) -> str:
        mark = self._mark or 1
        option = f"--mark {mark} and " if self._mark is None else ""
        other = ", or choose another --upstream" if self._upstreams is not None else ""
        return (
            "refused a connection of this proxy that came back to it; exclude them with"
            f" {option}'iptables -t nat -I OUTPUT -p tcp -m mark --mark {mark} -j RETURN'{other}"
        )

    def prepare(self, sock: socket.socket, address: Address) -> None:
        self._prepare(sock)
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

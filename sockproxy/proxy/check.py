"""One check of an upstream: connect, perhaps send something, and look at how the answer begins."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from sockproxy.net.address import Address
from sockproxy.net.tcp import Option, set_options
from sockproxy.proxy.pool import Health
from sockproxy.worker.descriptors import SHORTAGE
from sockproxy.worker.door import Loop, Timer

__all__ = ["Check", "Way", "header_of_checks"]

OF_THIS_HOST = {*SHORTAGE, errno.EADDRNOTAVAIL}
"""They say nothing of the upstream."""
AGAIN = 0.05  # seconds until a full backlog is tried again
SHOWN = 40  # bytes of an answer
_ORDERLY = b"\0" * 8  # struct linger: off
_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def header_of_checks(version: int) -> bytes:
    """What the PROXY protocol has for a connection of the proxy itself: UNKNOWN of version 1, LOCAL
    of version 2. 0 for none."""
    return (b"", b"PROXY UNKNOWN\r\n", _SIGNATURE + b"\x20\x00\x00\x00")[version]


def _fitting(options: Iterable[Option], family: int) -> list[Option]:
    """Those that a socket of this family takes."""
    return [each for each in options if family != socket.AF_UNIX or each[0] == socket.SOL_SOCKET]


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@dataclass(frozen=True, slots=True)
class Way:
    """How the checks of a service go to its upstreams.

    options: of the sockets, as of those of clients. header: what is sent before all else.
    """

    options: tuple[Option, ...] = ()
    header: bytes = b""


class Check:
    """One, from begin() to its end. All methods belong to the loop's thread.

    done: called once, and perhaps before begin() returns, with what is wrong with the upstream; ""
    for nothing, None where it could not be found out, for want of something on this host.
    """

    def __init__(
        self,
        loop: Loop,
        address: Address,
        how: Health,
        way: Way,
        done: Callable[[str | None], None],
    ) -> None:
        self._loop, self._address, self._how, self._done = loop, address, how, done
        self._options = way.options
        self._unsent = way.header + how.send
        self._heard = b""
        self._socket: socket.socket | None = None
        self._timer: Timer | None = None
        self._again: Timer | None = None
        self._late = "no connection"

    def begin(self) -> None:
        """Connect."""
        try:
            self._socket = sock = socket.socket(self._address.family, socket.SOCK_STREAM)
            sock.setblocking(False)
            set_options(sock, _fitting(self._options, sock.family))
        except OSError as error:
            self._fail(error)
            return
        self._timer = self._loop.later(self._how.timeout, self._time_out)
        self._connect()

    def _connect(self) -> None:
        assert self._socket is not None
        sock = self._socket
        try:
            number = sock.connect_ex(self._address.sockaddr)
            if number == errno.EAGAIN and self._address.is_unix:  # its backlog is full
                self._again = self._loop.later(AGAIN, self._connect)
                return
            if number not in (0, errno.EINPROGRESS):
                raise _error(number)
            self._loop.watch(sock.fileno(), select.EPOLLOUT, self._connected)
        except OSError as error:
            self._fail(error)

    def _connected(self, _events: int) -> None:
        assert self._socket is not None
        sock = self._socket
        try:
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                raise _error(number)
            # TCP connects to itself where the kernel chooses this port for it: nobody listens.
            if sock.getsockname() == sock.getpeername():
                raise _error(errno.ECONNREFUSED)
            if self._unsent:  # what is sent is for the upstream to read: no RST behind it
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ORDERLY)
            self._loop.unwatch(sock.fileno())
            self._loop.watch(sock.fileno(), select.EPOLLOUT, self._send)
        except OSError as error:
            self._fail(error)
            return
        self._late = "no answer"
        self._send(0)

    def _send(self, _events: int) -> None:
        assert self._socket is not None
        try:
            if self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
            if self._unsent:
                return
            if not self._how.expect:
                self._end("")
                return
            self._loop.unwatch(self._socket.fileno())
            self._loop.watch(self._socket.fileno(), select.EPOLLIN, self._hear)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error)

    def _hear(self, _events: int) -> None:
        assert self._socket is not None
        expected = self._how.expect
        try:
            part = self._socket.recv(len(expected) - len(self._heard))
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error)
            return
        self._heard += part
        if not expected.startswith(self._heard):
            self._end(f"the answer begins with {self._heard[:SHOWN]!r}")
        elif not part:
            self._end(f"it has ended after {len(self._heard)} of {len(expected)} bytes")
        elif self._heard == expected:
            self._end("")

    def _time_out(self) -> None:
        self._end(f"{self._late} in {self._how.timeout:g} s")

    def _fail(self, error: OSError) -> None:
        number = error.errno or errno.EIO
        self._end(None if number in OF_THIS_HOST else os.strerror(number).lower())

    def _end(self, failure: str | None) -> None:
        self.cancel()
        self._done(failure)

    def cancel(self) -> None:
        """Close its socket, and call nobody. Twice is allowed."""
        for timer in (self._timer, self._again):
            if timer is not None:
                timer.cancel()
        if self._socket is not None:
            with suppress(OSError):
                self._loop.unwatch(self._socket.fileno())
            self._socket.close()
        self._socket = self._timer = self._again = None

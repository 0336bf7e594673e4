"""The listening sockets of a service, from which the worker accepts."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
from collections.abc import Iterable, Iterator

from sockproxy.errors import SockproxyError
from sockproxy.net.address import Address
from sockproxy.net.systemd import Passed, address_of
from sockproxy.net.tcp import OF_ANOTHER, Option, set_options, spared_pacing
from sockproxy.net.unix import is_unix, listen_at, remove_stale, set_mode

__all__ = ["BACKLOG", "Listeners"]

log = logging.getLogger("sockproxy.proxy")

BACKLOG = 1024  # clients of one socket that may wait to be accepted
_HINTS = {
    errno.EADDRINUSE: "'ss -ltnp' shows who listens there; or choose another place",
    errno.EADDRNOTAVAIL: "no interface has this address; 'ip address' shows those that are there",
    errno.EACCES: "ports below 1024 take CAP_NET_BIND_SERVICE",
}
_UNIX_HINTS = {
    errno.EADDRINUSE: "'ss -lxnp' shows who listens there; or choose another place",
    errno.ENOENT: "its folder must be there",
    errno.EACCES: "who may write to its folder may listen there",
}


class Listeners:
    """By the places that a service names. options: of the clients' sockets, which inherit them.
    unix_mode: of the files of Unix sockets, such as "660"; "" for what the umask leaves.

    addresses: of all of them, with the ports that they have; for every thread.
    foreign: whether one of TCP was opened elsewhere, and so is of another cgroup.
    """

    def __init__(self, options: Iterable[Option], unix_mode: str = "") -> None:
        self._options = (*OF_ANOTHER, *options)
        self._unix_mode = unix_mode
        self._at: dict[str, list[socket.socket]] = {}
        self.addresses: tuple[Address, ...] = ()
        self.foreign = False

    def __iter__(self) -> Iterator[socket.socket]:
        return iter([sock for each in self._at.values() for sock in each])

    @property
    def by_place(self) -> list[tuple[str, list[socket.socket]]]:
        """Those of each place."""
        return list(self._at.items())

    def open(self, where: Address | Passed) -> None:
        """Listen there, but accept nobody yet. Raises SockproxyError."""
        if isinstance(where, Passed):
            self.put(where, where.take(), foreign=True)
            return
        if where.is_unix:
            self._open_unix(where)
            return
        sock = socket.socket(where.family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if where.family == socket.AF_INET6:
                # [::] serves IPv4 as well, as v4-mapped addresses.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind(where.sockaddr)
            sock.listen(BACKLOG)
        except OSError as error:
            sock.close()
            raise _failure(where, error) from None
        self.put(where, [sock])

    def _open_unix(self, where: Address) -> None:
        try:
            sock = listen_at(where.host, self._unix_mode, BACKLOG)
        except OSError as error:
            raise _failure(where, error) from None
        self.put(where, [sock])

    def put(
        self, where: Address | Passed, sockets: list[socket.socket], *, foreign: bool = False
    ) -> None:
        """Have those that listen there. Raises SockproxyError."""
        self._at.setdefault(str(where), []).extend(sockets)
        self.foreign |= foreign and any(sock.family != socket.AF_UNIX for sock in sockets)
        try:
            for sock in sockets:
                sock.setblocking(False)
                if sock.family == socket.AF_UNIX:
                    continue  # what it accepts would inherit nothing
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)  # it may have had it
                set_options(sock, self._options)
                if address_of(sock).loopback:
                    set_options(sock, spared_pacing())
        except OSError as error:
            raise _failure(where, error) from None
        finally:
            self._look()
        if isinstance(where, Address) and where.is_unix:
            self._set_mode(where)

    def _set_mode(self, where: Address) -> None:
        """Of the file of one that listens already; somebody may have removed it, or owns it."""
        try:
            set_mode(where.host, self._unix_mode)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            log.warning(f"{where}: it has not the mode {self._unix_mode}: {why}")

    def take(self, where: Address | Passed) -> list[socket.socket]:
        """Those that listen there, which are the caller's now."""
        taken = self._at.pop(str(where))
        self._look()
        return taken

    def close(self) -> None:
        """Listen no more. Twice is allowed. The files of Unix sockets that are nobody's then are
        removed; those that systemd opened are its own."""
        places = self.by_place
        self._at.clear()
        self._look()
        for place, sockets in places:
            for sock in sockets:
                sock.close()
            if is_unix(place):
                with contextlib.suppress(SockproxyError, OSError):
                    remove_stale(place)

    def _look(self) -> None:
        self.addresses = tuple(address_of(sock) for sock in self)


def _failure(where: Address | Passed, error: OSError) -> SockproxyError:
    is_path = isinstance(where, Address) and where.is_unix
    hint = (_UNIX_HINTS if is_path else _HINTS).get(error.errno or 0)
    return SockproxyError(f"listen on {where}", errno=error.errno, hint=hint)

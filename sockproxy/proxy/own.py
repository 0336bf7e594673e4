"""The proxy's own connections to upstreams, to know one that comes back as a client."""

from __future__ import annotations

import socket

from sockproxy.net.address import Address, original_destination, plain

__all__ = ["OwnConnections"]

Place = tuple[str, int]
ANY = ("0.0.0.0", "::")  # to connect there is to connect to one's own address


class OwnConnections:
    """From where, and to where, each of them was begun. All of one network namespace."""

    def __init__(self) -> None:
        self._ends: dict[int, tuple[Place, Place]] = {}  # by descriptor
        self._paired: dict[int, tuple[Place, Place]] = {}  # by the worker's number
        self._remotes: dict[Place, list[Place]] = {}
        """Where those from each place go: to one place twice, when another has the port of one that
        is closed, but whose end is not told yet."""

    def add(self, sock: socket.socket, address: Address) -> None:
        """A socket whose connection to the address was begun."""
        local, remote = plain(sock.getsockname()[:2]), plain(address.sockaddr)
        if remote[0] in ANY:
            remote = (local[0], remote[1])
        self._ends[sock.fileno()] = (local, remote)
        # Connections to different places may share a local port.
        self._remotes.setdefault(local, []).append(remote)

    def paired(self, fd: int, number: int) -> None:
        """The socket with this descriptor is the worker's: its number tells of the end. Another
        socket may have the descriptor by then."""
        if (ends := self._ends.pop(fd, None)) is not None:
            self._paired[number] = ends

    def drop(self, fd: int) -> None:
        """The socket with this descriptor is closed, or will be at once. Twice is allowed."""
        self._forget(self._ends.pop(fd, None))

    def ended(self, number: int) -> None:
        """The worker has closed its connection of this number."""
        self._forget(self._paired.pop(number, None))

    def _forget(self, ends: tuple[Place, Place] | None) -> None:
        if ends is None:
            return
        local, remote = ends
        remotes = self._remotes[local]
        remotes.remove(remote)
        if not remotes:
            del self._remotes[local]

    def comes_back(self, client: socket.socket, peer: tuple[str, int]) -> bool:
        """Whether the connection accepted from `peer` is one of these: it goes to where one of them
        went, or is redirected from there, and comes from the same port."""
        remotes = self._remotes.get(plain(peer))
        if not remotes:
            return False
        try:
            if plain(client.getsockname()[:2]) in remotes:
                return True
        except OSError:
            return False  # it has gone meanwhile
        meant = original_destination(client)
        return meant is not None and plain(meant.sockaddr) in remotes

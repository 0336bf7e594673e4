"""Addresses as people write them, ``HOST:PORT``, and as sockets take them."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest

from sockproxy.errors import UsageError
from sockproxy.net.unix import is_unix, parse_unix, path_of

__all__ = [
    "Address",
    "Host",
    "format_address",
    "in_turn",
    "parse_address",
    "parse_host",
    "peer_address",
]

SO_PEERNAME = 28
_SOCKADDR_IN, _SOCKADDR_IN6 = 16, 28
_MAPPED = "::ffff:"


@dataclass(frozen=True, slots=True)
class Address:
    """A resolved address: AF_INET or AF_INET6, a numeric host, a port; or AF_UNIX, and as host what
    parse_unix() takes."""

    family: int
    host: str
    port: int

    @property
    def sockaddr(self) -> tuple[str, int] | bytes:
        """What bind() and connect() take."""
        return path_of(self.host) if self.is_unix else (self.host, self.port)

    @property
    def is_unix(self) -> bool:
        """Whether it is a Unix socket's."""
        return self.family == socket.AF_UNIX

    @property
    def loopback(self) -> bool:
        """Whether only this host can be at the other end."""
        if self.is_unix:
            return True
        return ipaddress.ip_address(self.host.removeprefix(_MAPPED).partition("%")[0]).is_loopback

    def __str__(self) -> str:
        return format_address((self.host, self.port))


@dataclass(frozen=True, slots=True)
class Host:
    """A host and a port as a user wrote them, or a Unix socket and 0; `addresses` are those that it
    had when parsed."""

    name: str
    port: int
    addresses: tuple[Address, ...]

    @property
    def may_change(self) -> bool:
        """Whether it is a name, which may have other addresses later."""
        if is_unix(self.name):
            return False
        try:
            ipaddress.ip_address(self.name.partition("%")[0])
        except ValueError:
            return True
        return False

    def resolve(self) -> tuple[Address, ...]:
        """All its addresses as they are now. Raises UsageError when it has none."""
        return _resolve(self.name, self.port, str(self))

    def __str__(self) -> str:
        return format_address((self.name, self.port))


def format_address(address: tuple[str, int]) -> str:
    """``127.0.0.1:80``, ``[::1]:80`` or ``unix:/run/x.sock``; a v4-mapped host is written as
    IPv4."""
    if is_unix(address[0]):
        return address[0]
    host, port = address[0].removeprefix(_MAPPED), address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_address(text: str, *, passive: bool = False) -> Address:
    """Resolve ``HOST:PORT`` or ``[IPV6]:PORT``; `passive` also takes ``:PORT``. Or ``unix:/PATH``,
    ``unix:@NAME``.

    Raises UsageError when it is not an address or the host has none.
    """
    if is_unix(text):
        return _unix(text)
    host, port = _split(text, passive)
    return _resolve(host, port, text, socket.AI_PASSIVE if passive else 0)[0]


def parse_host(text: str) -> Host:
    """``HOST:PORT`` or ``[IPV6]:PORT``, resolved, or ``unix:/PATH``. Raises UsageError as
    parse_address() does."""
    if is_unix(text):
        return Host(text, 0, (_unix(text),))
    host, port = _split(text, passive=False)
    return Host(host, port, _resolve(host, port, text))


def _unix(text: str) -> Address:
    return Address(socket.AF_UNIX, parse_unix(text), 0)


def _split(text: str, passive: bool) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise UsageError(f"address {text!r}", hint="write an IPv6 address as [ADDR]:PORT")
    digits = port.isascii() and port.isdigit() and len(port) <= 5
    if not colon or not digits or int(port) > 65535:
        raise UsageError(f"address {text!r}", hint="write it as ADDR:PORT, such as 127.0.0.1:8080")
    if not passive and (not host or int(port) == 0):
        raise UsageError(f"address {text!r}", hint="it needs a host and a port from 1 to 65535")
    return host, int(port)


def _resolve(host: str, port: int, text: str, flags: int = 0) -> tuple[Address, ...]:
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=flags
        )
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UsageError(f"address {text!r}: {why}", hint="check the host's name") from None
    addresses = (
        Address(family, str(sockaddr[0]), int(sockaddr[1])) for family, *_, sockaddr in found
    )
    return in_turn(addresses)


def in_turn(addresses: Iterable[Address]) -> tuple[Address, ...]:
    """Each once, the families by turns: where one has no route, or does not answer, the next is of
    the other. Within a family the resolver's order stays, which is that of RFC 6724; so the whole
    has that of RFC 8305, section 4."""
    families: dict[int, list[Address]] = {}
    for each in dict.fromkeys(addresses):
        families.setdefault(each.family, []).append(each)
    rounds = zip_longest(*families.values())
    return tuple(each for one in rounds for each in one if each is not None)


def peer_address(sock: socket.socket) -> tuple[str, int]:
    """The address of the other end, also after a reset, when getpeername() fails.

    Raises OSError for a socket that was never connected.
    """
    try:
        host, port = sock.getpeername()[:2]
    except OSError:
        # It is EINVAL to ask for more than the family has.
        size = _SOCKADDR_IN if sock.family == socket.AF_INET else _SOCKADDR_IN6
        return _read_sockaddr(sock.family, sock.getsockopt(socket.SOL_SOCKET, SO_PEERNAME, size))
    return host, port


def _read_sockaddr(family: int, raw: bytes) -> tuple[str, int]:
    layout = "!2xH4s" if family == socket.AF_INET else "!2xH4x16s"
    port, packed = struct.unpack_from(layout, raw)
    return socket.inet_ntop(family, packed), port

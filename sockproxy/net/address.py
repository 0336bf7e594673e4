"""Addresses as people write them, ``HOST:PORT``, and as sockets take them."""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass

from sockproxy.errors import UsageError

__all__ = ["Address", "format_address", "original_destination", "parse_address"]

SOL_IP, SOL_IPV6 = 0, 41
SO_ORIGINAL_DST = 80  # IP6T_SO_ORIGINAL_DST has the same number
_MAPPED = "::ffff:"


@dataclass(frozen=True, slots=True)
class Address:
    """A resolved TCP address: AF_INET or AF_INET6, a numeric host, a port."""

    family: int
    host: str
    port: int

    @property
    def sockaddr(self) -> tuple[str, int]:
        """What bind() and connect() take."""
        return (self.host, self.port)

    @property
    def loopback(self) -> bool:
        """Whether only this host can be at the other end."""
        return ipaddress.ip_address(self.host.removeprefix(_MAPPED).partition("%")[0]).is_loopback

    def __str__(self) -> str:
        return format_address(self.sockaddr)


def format_address(address: tuple[str, int]) -> str:
    """``127.0.0.1:80`` or ``[::1]:80``; a v4-mapped host is written as IPv4."""
    host, port = address[0].removeprefix(_MAPPED), address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_address(text: str, *, passive: bool = False) -> Address:
    """Resolve ``HOST:PORT`` or ``[IPV6]:PORT``; `passive` also takes ``:PORT``.

    Raises UsageError when it is not an address or the host has none.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise UsageError(f"address {text!r}", hint="write an IPv6 address as [ADDR]:PORT")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise UsageError(f"address {text!r}", hint="write it as ADDR:PORT, such as 127.0.0.1:8080")
    if not passive and (not host or int(port) == 0):
        raise UsageError(f"address {text!r}", hint="it needs a host and a port from 1 to 65535")
    flags = socket.AI_PASSIVE if passive else 0
    try:
        found = socket.getaddrinfo(
            host or None, int(port), type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=flags
        )
    except (socket.gaierror, UnicodeError) as error:
        raise UsageError(f"address {text!r}: {error}", hint="check the host's name") from None
    family, _, _, _, sockaddr = found[0]
    return Address(family, str(sockaddr[0]), int(sockaddr[1]))


def original_destination(sock: socket.socket) -> Address | None:
    """Where the client meant to connect before iptables or nftables REDIRECTed it.

    None when the connection was not redirected, or connection tracking is not there.
    """
    local = sock.getsockname()
    mapped = sock.family == socket.AF_INET6 and local[0].startswith(_MAPPED)
    try:
        if sock.family == socket.AF_INET or mapped:
            raw = sock.getsockopt(SOL_IP, SO_ORIGINAL_DST, 16)
            port, packed = struct.unpack_from("!2xH4s", raw)
            host = socket.inet_ntop(socket.AF_INET, packed)
            found = Address(socket.AF_INET, host, port)
        else:
            raw = sock.getsockopt(SOL_IPV6, SO_ORIGINAL_DST, 28)
            port, packed = struct.unpack_from("!2xH4x16s", raw)
            host = socket.inet_ntop(socket.AF_INET6, packed)
            found = Address(socket.AF_INET6, host, port)
    except OSError:
        return None
    # Connecting to where it already is would be a loop through ourselves.
    same = found.port == local[1] and found.host == local[0].removeprefix(_MAPPED)
    return None if same else found

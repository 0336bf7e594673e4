"""Addresses as the native worker has them, and as Python has them: struct address of told.h."""

from __future__ import annotations

import socket
from typing import Any

from sockproxy.native import ffi
from sockproxy.net.address import Address

__all__ = ["native_address", "place", "read_address", "write_address"]

NO_ZONE = 0x7FFFFFFF  # an interface that is not there: connect(2) finds the network unreachable


def place(address: Any) -> tuple[str, int]:
    """(host, port) of a struct address."""
    return _host(address), address.port


def read_address(address: Any) -> Address:
    """Of a struct address."""
    return Address(address.family, *place(address))


def native_address(address: Address) -> Any:
    """A struct address, and a pointer to it."""
    target = ffi.new("struct address *")
    write_address(target, address)
    return target


def _host(address: Any) -> str:
    size = 4 if address.family == socket.AF_INET else 16
    name = socket.inet_ntop(address.family, ffi.buffer(address.host)[:size])
    if not address.scope:
        return name
    try:
        return f"{name}%{socket.if_indextoname(address.scope)}"
    except OSError:
        return f"{name}%{address.scope}"


def write_address(target: Any, address: Address) -> None:
    """Make it of a struct address."""
    host, _, zone = address.host.partition("%")
    packed = socket.inet_pton(address.family, host)
    target.family, target.port = address.family, address.port
    target.scope = _scope(zone) if zone else 0
    ffi.memmove(target.host, packed, len(packed))


def _scope(zone: str) -> int:
    try:
        return int(zone) if zone.isdigit() else socket.if_nametoindex(zone)
    except OSError:
        return NO_ZONE

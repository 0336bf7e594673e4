"""Addresses as the native worker has them, and as Python has them: struct address of told.h.

Each call is given the struct worker, which keeps the paths of Unix sockets.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

from sockproxy.native import check, ffi, load_native
from sockproxy.net.address import Address
from sockproxy.net.unix import path_of, unix_name

__all__ = ["native_address", "place", "read_address", "write_address"]

NO_ZONE = 0x7FFFFFFF  # an interface that is not there: connect(2) finds the network unreachable


LONGEST_PATH = 108  # bytes: sun_path
UNIX_CLIENT = struct.Struct("=I")  # the user's number


def place(worker: Any, address: Any) -> tuple[str, int]:
    """(host, port) of a struct address; of a Unix socket its path, or its process and user, and
    0."""
    if address.family == socket.AF_UNIX:
        return _unix_place(worker, address), 0
    return _host(address), address.port


def read_address(worker: Any, address: Any) -> Address:
    """Of a struct address."""
    return Address(address.family, *place(worker, address))


def native_address(worker: Any, address: Address) -> Any:
    """A struct address, and a pointer to it. Raises OSError where there are too many paths."""
    target = ffi.new("struct address *")
    write_address(worker, target, address)
    return target


def _unix_place(worker: Any, address: Any) -> str:
    if address.port:
        path = ffi.new("char[]", LONGEST_PATH)
        size = load_native().worker_read_path(worker, address.port, path)
        return unix_name(ffi.buffer(path)[:size])
    if not address.scope:
        return unix_name(b"")  # our own end, or a process that this one cannot see
    (user,) = UNIX_CLIENT.unpack(ffi.buffer(address.host)[: UNIX_CLIENT.size])
    return f"{unix_name(b'')}pid={address.scope},uid={user}"


def _host(address: Any) -> str:
    size = 4 if address.family == socket.AF_INET else 16
    name = socket.inet_ntop(address.family, ffi.buffer(address.host)[:size])
    if not address.scope:
        return name
    try:
        return f"{name}%{socket.if_indextoname(address.scope)}"
    except OSError:
        return f"{name}%{address.scope}"


def write_address(worker: Any, target: Any, address: Address) -> None:
    """target: a pointer to a struct address. Raises OSError where its path finds no memory."""
    if address.family == socket.AF_UNIX:
        path = path_of(address.host)
        check(load_native().worker_name_path(worker, path, len(path), target))
        return
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

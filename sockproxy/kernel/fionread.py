"""Does FIONREAD tell the truth of a socket that is in a sockmap?

From 929e30f93125 (6.18.14, 6.12.75, 6.6.128) to 04af4efde58a tcp_bpf_ioctl() counts what is in
the bypass queue and forgets what came by TCP; kernels before have it the other way round. A
program that asks, and then waits for more, waits for ever.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import termios
from functools import cache

from sockproxy.errors import SockproxyError
from sockproxy.libbpf import Map, check, ffi, load_library
from sockproxy.net.tcp import loopback_pair

__all__ = ["counts_tcp"]

BPF_MAP_TYPE_SOCKMAP = 15
PATIENCE = 2.0  # seconds for a few bytes on loopback


@cache
def counts_tcp() -> bool:
    """Try it: whether bytes that came by TCP are counted on a socket in a sockmap.

    Where it cannot be tried, the answer is no.
    """
    try:
        return _try_it()
    except (OSError, SockproxyError):
        return False


def _try_it() -> bool:
    lib = load_library()
    made = lib.bpf_map_create(BPF_MAP_TYPE_SOCKMAP, b"probe", 4, 8, 1, ffi.NULL)
    sockmap = Map("probe", check(made, "create a sockmap"))
    try:
        one, other = loopback_pair(PATIENCE)
        with one, other:
            sockmap.update(ffi.new("uint32_t *", 0), ffi.new("uint64_t *", other.fileno()))
            one.sendall(b"count me")
            other.recv(1, socket.MSG_PEEK)
            return _unread(other) > 0
    finally:
        os.close(sockmap.fd)


def _unread(sock: socket.socket) -> int:
    answer = fcntl.ioctl(sock.fileno(), termios.FIONREAD, bytes(4))
    return int(struct.unpack("i", answer)[0])

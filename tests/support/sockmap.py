"""The kernel's own maps of sockets, without a program or with ours."""

from __future__ import annotations

import contextlib
import os

from sockproxy.bpf import Map, ffi, load_library
from sockproxy.bpf.splice import SockmapKernel
from sockproxy.errors import SockproxyError
from tests.support.sockets import receive

KINDS = {"sockmap": 15, "sockhash": 18}  # BPF_MAP_TYPE_SOCKMAP, BPF_MAP_TYPE_SOCKHASH
ANY, NOEXIST, EXIST = 0, 1, 2


def create(kind, key=4, value=8, entries=4):
    """A map's descriptor, or minus an errno."""
    return load_library().bpf_map_create(KINDS[kind], b"test", key, value, entries, ffi.NULL)


@contextlib.contextmanager
def made(kind, **sizes):
    """A Map for the length of a `with`; sizes as of create()."""
    fd = create(kind, **sizes)
    assert fd >= 0, os.strerror(-fd)
    try:
        yield Map("test", fd)
    finally:
        os.close(fd)


def put(sockmap, key, sock, flags=ANY):
    """None, or the errno with which the map refuses it. sock: also a descriptor."""
    fd = sock if isinstance(sock, int) else sock.fileno()
    try:
        sockmap.update(ffi.new("uint32_t *", key), ffi.new("uint64_t *", fd), flags)
    except SockproxyError as error:
        return error.errno
    return None


def held(sockmap, key):
    """The cookie of the socket at that key; None if there is none."""
    cookie = ffi.new("uint64_t *")
    found = sockmap.lookup(ffi.new("uint32_t *", key), cookie)
    return cookie[0] if found else None


def take_out(sockmap, key):
    """Whether there was something at that key."""
    return sockmap.delete(ffi.new("uint32_t *", key))


def unharmed(one, other):
    """Bytes go both ways."""
    for source, target in ((one, other), (other, one)):
        source.sendall(b"unharmed")
        assert receive(target, 8) == b"unharmed"


@contextlib.contextmanager
def kernel(parser):
    """Maps with programs: a stream parser and a stream verdict, or a verdict alone."""
    opened = SockmapKernel(8, parser=parser)
    try:
        yield opened
    finally:
        opened.close()

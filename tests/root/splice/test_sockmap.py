"""The kernel's own maps of sockets: what they take, what they refuse, and what they tell."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from sockproxy.bpf import ffi
from sockproxy.errors import KernelError, SockproxyError
from sockproxy.net.tcp import socket_cookie
from tests.support.sockets import receive, tcp_pair
from tests.support.sockmap import (
    EXIST,
    KINDS,
    NOEXIST,
    create,
    held,
    kernel,
    made,
    put,
    take_out,
    unharmed,
)

pytestmark = [pytest.mark.root, pytest.mark.bpf]

LISTENERS_SINCE = (5, 7)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def sockmap(kind):
    with made(kind) as sockmap:
        yield sockmap


@pytest.fixture
def pair():
    one, other = tcp_pair()
    with one, other:
        yield one, other


# -- what they do ------------------------------------------------------------------------


def test_created(kind):
    with made(kind), made(kind, value=4):
        pass


def test_updated(sockmap, pair):
    one, other = pair
    assert put(sockmap, 0, one, EXIST) == errno.ENOENT
    assert put(sockmap, 0, one, NOEXIST) is None
    assert put(sockmap, 0, other, NOEXIST) == errno.EEXIST
    assert held(sockmap, 0) == socket_cookie(one)
    assert put(sockmap, 0, other, EXIST) is None
    assert held(sockmap, 0) == socket_cookie(other)
    unharmed(*pair)


def test_looked_up(sockmap, pair):
    assert held(sockmap, 0) is None
    for key, sock in enumerate(pair):
        assert put(sockmap, key, sock) is None
    assert [held(sockmap, key) for key in range(3)] == [*map(socket_cookie, pair), None]


def test_looked_up_with_values_of_4_bytes(kind, pair):
    """They take descriptors, and have no room for a cookie."""
    with made(kind, value=4) as sockmap:
        key = ffi.new("uint32_t *", 0)
        sockmap.update(key, ffi.new("uint32_t *", pair[0].fileno()))
        with pytest.raises(KernelError) as told:
            held(sockmap, 0)
        assert told.value.errno == errno.ENOSPC


def test_deleted(sockmap, pair):
    assert not take_out(sockmap, 0)
    assert put(sockmap, 0, pair[0]) is None
    assert take_out(sockmap, 0)
    assert held(sockmap, 0) is None
    assert not take_out(sockmap, 0)
    unharmed(*pair)
    assert put(sockmap, 0, pair[0], NOEXIST) is None
    unharmed(*pair)


def test_closed_sockets_leave(sockmap):
    one, other = tcp_pair()
    with one, other:
        assert put(sockmap, 0, one) is None
        one.close()
        assert held(sockmap, 0) is None


def test_many_entries_for_one_socket(kind, pair):
    """Under several keys and in several maps; each is one of its own."""
    one, _ = pair
    with made(kind) as first, made(kind) as second:
        places = [(each, key) for each in (first, second) for key in range(4)]
        for each, key in places:
            assert put(each, key, one, NOEXIST) is None
        for number, (each, key) in enumerate(places):
            assert take_out(each, key)
            left = [held(*place) for place in places[number + 1 :]]
            assert left == [socket_cookie(one)] * len(left)
            unharmed(*pair)


def test_freed_with_sockets_inside(kind, pair):
    with made(kind) as sockmap:
        for key, sock in enumerate(pair):
            assert put(sockmap, key, sock) is None
        pair[0].sendall(b"queued")
    assert receive(pair[1], 6) == b"queued"
    unharmed(*pair)


PROGRAMS = pytest.mark.parametrize("parser", [True, False], ids=["parser", "verdict-only"])


@PROGRAMS
def test_programs_are_attached(parser, pair):
    """And take what comes: nobody said where to, so that it is lost or held."""
    one, other = pair
    with kernel(parser) as opened:
        slot = opened.enrol(other, socket_cookie(other))
        opened.start(slot, other.fileno())
        one.sendall(b"taken")
        other.settimeout(0.2)
        with pytest.raises((TimeoutError, BlockingIOError)):
            other.recv(5)
        opened.release(slot, socket_cookie(other))


@PROGRAMS
def test_a_second_map_with_the_same_kind_of_program(parser, pair):
    with kernel(parser) as first, kernel(parser) as second, made("sockmap") as plain:
        fd = pair[0].fileno()
        first.start(0, fd)
        for each, slot in ((second, 0), (first, 1)):
            with pytest.raises(KernelError) as told:
                each.start(slot, fd)
            assert told.value.errno == errno.EBUSY
        # Maps without a program are in nobody's way.
        assert put(plain, 0, pair[0]) is None
        first.stop(0)
        second.start(0, fd)
        second.stop(0)


@PROGRAMS
def test_from_sock_ops(parser, group):
    """Sockets come when they are established, and go when they have closed."""
    with kernel(parser) as opened:
        fd = os.open(group.path, os.O_DIRECTORY)
        try:
            opened.watch_cgroup(fd)
        finally:
            os.close(fd)
        for _ in range(20):  # more sockets than there are slots
            one, other = tcp_pair()
            with one, other:
                # What sock_ops put in is found, and nothing is put in anew.
                slots = {opened.enrol(each, socket_cookie(each)) for each in (one, other)}
                assert len(slots) == 2
                unharmed(one, other)
                for each in (one, other):
                    opened.release(opened.enrol(each, socket_cookie(each)), socket_cookie(each))
        for _ in range(20):
            one, other = tcp_pair()
            one.close()
            other.close()
        counts = opened.enrolments()
        assert (counts["enrolled"], counts["no_slot"], counts["refused"]) == (80, 0, 0)


# -- what they refuse --------------------------------------------------------------------


def test_bad_descriptor(sockmap):
    assert put(sockmap, 0, 1 << 20) == errno.EBADF
    with open("/proc/self/stat") as file:
        assert put(sockmap, 0, file.fileno()) == errno.ENOTSOCK
    assert put(sockmap, 0, (1 << 32) + 3) == errno.EINVAL
    assert held(sockmap, 0) is None


def test_closed_socket(sockmap):
    """The descriptor is closed, or the connection has ended both ways."""
    one, other = tcp_pair()
    with one, other:
        for each in (one, other):
            each.shutdown(socket.SHUT_WR)
        assert other.recv(1) == b""
        assert one.recv(1) == b""
        assert put(sockmap, 0, other) == errno.EOPNOTSUPP
    one, other = tcp_pair()
    with one, other:
        number = one.fileno()
        one.close()
        assert put(sockmap, 0, number) == errno.EBADF


def test_unconnected_socket(sockmap):
    with socket.socket() as unconnected:
        assert put(sockmap, 0, unconnected) == errno.EOPNOTSUPP


def test_listening_socket(sockmap):
    """Taken since 5.7, where a reuseport program may pick one from a map; a redirect to it
    is refused. It still accepts."""
    release = tuple(int(each) for each in os.uname().release.split(".")[:2])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        said = put(sockmap, 0, listener)
        assert said == (None if release >= LISTENERS_SINCE else errno.EOPNOTSUPP)
        one = socket.create_connection(listener.getsockname(), 20)
        other, _ = listener.accept()
        with one, other:
            unharmed(one, other)


def test_wrong_family(pair):
    """A map whose programs parse streams is for TCP alone. Older kernels took others in, and
    parsed nothing: those that refuse must leave the socket as it is."""
    unix, datagram = socket.socketpair(), socket.socket(type=socket.SOCK_DGRAM)
    datagram.bind(("127.0.0.1", 0))
    with unix[0], unix[1], datagram, kernel(True) as opened:
        for slot, sock in enumerate((unix[0], datagram)):
            try:
                opened.start(slot, sock.fileno())
                opened.stop(slot)
            except SockproxyError as error:
                assert error.errno in (errno.EOPNOTSUPP, errno.EAFNOSUPPORT)  # noqa: PT017
        unharmed(*unix)
        with socket.socket(type=socket.SOCK_DGRAM) as sender:
            sender.sendto(b"unharmed", datagram.getsockname())
            datagram.settimeout(20)
            assert datagram.recv(99) == b"unharmed"


def test_full(kind, pair):
    """A sockhash counts its entries; the keys of a sockmap are those that it has room for."""
    with made(kind, entries=2) as sockmap:
        for key in (0, 1):
            assert put(sockmap, key, pair[key]) is None
        assert put(sockmap, 2, pair[0]) == errno.E2BIG
        assert [held(sockmap, key) for key in (0, 1)] == [*map(socket_cookie, pair)]
        assert take_out(sockmap, 0)
        assert put(sockmap, 0, pair[1]) is None


def test_wrong_sizes(kind):
    for sizes in ({"key": 0}, {"value": 0}, {"value": 2}, {"value": 16}, {"entries": 0}):
        assert create(kind, **sizes) == -errno.EINVAL, sizes
    if kind == "sockmap":
        assert create(kind, key=8) == -errno.EINVAL
    else:
        assert create(kind, key=513) == -errno.E2BIG  # MAX_BPF_STACK is 512

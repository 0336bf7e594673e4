"""What is done to a socket by its options."""

from __future__ import annotations

import socket

import pytest

from sockproxy.net.address import parse_address
from sockproxy.net.tcp import TCP_CONGESTION, spare_pacing


class OneOption:
    """A socket that has a congestion control, whether or not this kernel has that one."""

    def __init__(self, congestion):
        self.congestion = congestion

    def getsockopt(self, level, option, size):
        assert (level, option) == (socket.IPPROTO_TCP, TCP_CONGESTION)
        return self.congestion.ljust(size, b"\0")

    def setsockopt(self, level, option, value):
        assert (level, option) == (socket.IPPROTO_TCP, TCP_CONGESTION)
        self.congestion = value


@pytest.mark.parametrize(("before", "after"), [(b"bbr", b"reno"), (b"cubic", b"cubic")])
def test_what_paces_is_spared(before, after):
    sock = OneOption(before)
    spare_pacing(sock)
    assert sock.congestion == after


def test_this_kernel_takes_it():
    with socket.socket() as sock:
        spare_pacing(sock)
        left = sock.getsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, 16)
        assert not left.startswith(b"bbr")


@pytest.mark.parametrize(
    ("text", "loopback"),
    [("127.0.0.1:1", True), ("127.9.9.9:1", True), ("[::1]:1", True),
     ("[::ffff:127.0.0.1]:1", True),
     ("10.0.0.1:1", False), ("[::ffff:10.0.0.1]:1", False), ("[fe80::1%lo]:1", False)],
)  # fmt: skip
def test_addresses_that_stay_on_this_host(text, loopback):
    assert parse_address(text).loopback == loopback

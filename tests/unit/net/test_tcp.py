"""What is done to a socket by its options."""

from __future__ import annotations

import socket

import pytest

from sockproxy.net.address import parse_address
from sockproxy.net.tcp import TCP_CONGESTION, set_options, spared_pacing


def test_what_paces_is_spared():
    """Whatever this host gives its sockets."""
    with socket.socket() as sock:
        before = sock.getsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, 16).rstrip(b"\0")
        set_options(sock, spared_pacing())
        after = sock.getsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, 16).rstrip(b"\0")
    assert after == (b"reno" if before == b"bbr" else before)


@pytest.mark.parametrize(
    ("text", "loopback"),
    [("127.0.0.1:1", True), ("127.9.9.9:1", True), ("[::1]:1", True),
     ("[::ffff:127.0.0.1]:1", True),
     ("10.0.0.1:1", False), ("[::ffff:10.0.0.1]:1", False), ("[fe80::1%lo]:1", False)],
)  # fmt: skip
def test_addresses_that_stay_on_this_host(text, loopback):
    assert parse_address(text).loopback == loopback

"""The addresses of a name, in the order in which they are tried."""

from __future__ import annotations

import socket

import pytest

from sockproxy.net.address import Address, in_turn, parse_host


def address(name):
    return Address(socket.AF_INET6 if ":" in name else socket.AF_INET, name, 80)


@pytest.mark.parametrize(
    ("found", "tried"),
    [
        ("1::1 1::2 1::3 10.0.0.1 10.0.0.2", "1::1 10.0.0.1 1::2 10.0.0.2 1::3"),
        ("10.0.0.1 10.0.0.2 1::1", "10.0.0.1 1::1 10.0.0.2"),
        ("10.0.0.2 10.0.0.1 10.0.0.2", "10.0.0.2 10.0.0.1"),
        ("1::2 1::1", "1::2 1::1"),
        ("", ""),
    ],
)
def test_families_take_turns(found, tried):
    """The first one's begins, and within each the resolver's order stays."""
    assert [each.host for each in in_turn(map(address, found.split()))] == tried.split()


def test_so_are_those_of_a_name(monkeypatch):
    names = ["2001:db8::1", "2001:db8::2", "192.0.2.1"]
    found = [(address(name).family, socket.SOCK_STREAM, 6, "", (name, 80, 0, 0)) for name in names]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    hosts = [each.host for each in parse_host("app.example:80").addresses]
    assert hosts == ["2001:db8::1", "192.0.2.1", "2001:db8::2"]

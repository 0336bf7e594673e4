"""Unix sockets by name, and the files that they leave."""

from __future__ import annotations

import os
import socket
import stat

import pytest

from sockproxy.errors import SockproxyError, UsageError
from sockproxy.net import unix
from sockproxy.net.address import format_address, parse_address, parse_host
from sockproxy.net.systemd import address_of


@pytest.mark.parametrize(
    ("text", "path"),
    [("unix:/run/x:0", b"/run/x:0"), ("unix:@a b", b"\0a b"), ("unix:/\udcff", b"/\xff")],
)
def test_names_and_paths(text, path):
    address = parse_address(text)
    assert (address.family, address.sockaddr, str(address)) == (socket.AF_UNIX, path, text)
    assert address.loopback
    assert unix.unix_name(path) == text
    host = parse_host(text)
    assert (host.addresses, host.may_change, str(host)) == ((address,), False, text)
    assert format_address((text, 0)) == text


@pytest.mark.parametrize("text", ["unix:", "unix:x", "unix:@", f"unix:/{'é' * 54}", "unix:/a\0b"])
def test_what_is_none(text):
    with pytest.raises(UsageError, match=r"address .unix:"):
        parse_address(text)


@pytest.mark.parametrize("mode", ["", "66", "888", "1777", "rw-", "-660"])
def test_what_is_no_mode(mode):
    with pytest.raises(UsageError, match="three octal digits"):
        unix.parse_mode(mode)


@pytest.fixture
def name(tmp_path):
    return f"unix:{tmp_path}/s"


def test_a_mode_goes_beyond_the_umask(tmp_path, name):
    before = os.umask(0o077)
    try:
        with unix.listen_at(name, "666", 5) as sock:
            assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o666
            assert str(address_of(sock)) == name
    finally:
        os.umask(before)


def test_what_is_stale_goes_and_what_is_somebodys_stays(tmp_path, name):
    with unix.listen_at(name, "", 5):
        unix.remove_stale(name)
        with pytest.raises(OSError, match="in use"):
            unix.listen_at(name, "", 5)
    unix.remove_stale(name)
    assert not list(tmp_path.iterdir())
    unix.remove_stale(name)  # it is gone


def test_one_that_listens_there_since_is_put_back(tmp_path, name, monkeypatch):
    """Both have found it stale; the other one has been faster."""
    with socket.socket(socket.AF_UNIX) as other:
        answers = iter([False, True])
        monkeypatch.setattr(unix, "_is_alive", lambda _path: next(answers))
        other.bind(f"{tmp_path}/s")
        other.listen()
        unix.remove_stale(name)
        assert [each.name for each in tmp_path.iterdir()] == ["s"]
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{tmp_path}/s")


def test_what_is_no_socket_stays(tmp_path, name):
    (tmp_path / "s").write_text("mine")
    with pytest.raises(SockproxyError, match="something else; remove that"):
        unix.listen_at(name, "", 5)
    assert (tmp_path / "s").read_text() == "mine"

"""A proxy before a server of patterns, or before a socket that a test accepts from by hand."""

from __future__ import annotations

import socket

import pytest

from tests.support.proxy import pattern_server, running_proxy
from tests.support.scale import patience
from tests.support.unix import unix_server


@pytest.fixture(scope="module")
def server():
    with pattern_server() as address:
        yield address


@pytest.fixture(params=[[], ["--eager"], ["--relay"]], ids=["auto", "eager", "relay"])
def proxy(request, server):
    with running_proxy(server, *request.param) as proxy:
        yield proxy


@pytest.fixture
def accelerated(server):
    """The kernel moves all that it can, from the first byte."""
    with running_proxy(server, "--eager") as proxy:
        assert proxy.status()["accelerated"]
        yield proxy


@pytest.fixture
def listener():
    """A listening socket that a test accepts from by hand."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.settimeout(patience(10))
        yield sock


@pytest.fixture
def unix_place(tmp_path):
    """Where a proxy may listen."""
    return f"unix:{tmp_path}/in.sock"


@pytest.fixture
def unix_upstream(tmp_path):
    """A listening Unix socket that a test accepts from by hand; `there` is its place."""
    with unix_server(f"unix:{tmp_path}/up.sock") as sock:
        sock.settimeout(patience(10))
        yield sock


@pytest.fixture
def there(tmp_path):
    return f"unix:{tmp_path}/up.sock", 0

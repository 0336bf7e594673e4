"""Servers that a test accepts from by hand."""

from __future__ import annotations

import contextlib
import socket

import pytest

from tests.support.scale import patience


@pytest.fixture
def servers():
    with contextlib.ExitStack() as stack:
        made = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        for each in made:
            stack.enter_context(each).settimeout(patience(10))
        yield made

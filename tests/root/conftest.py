"""Fixtures that need root: a cgroup for this process, and bypasses attached to it."""

from __future__ import annotations

import pytest

from sockproxy.cgroup import create_owned
from sockproxy.kernel import pins
from tests.support.bypass import NAME, sockproxy


@pytest.fixture
def group():
    """A cgroup that this process is in, with all the sockets that it opens."""
    made = create_owned("bypass")
    made.enter()
    yield made
    made.remove()


@pytest.fixture
def bypassed(group):
    """The same, with a bypass named NAME on it."""
    sockproxy("attach", NAME, "--cgroup", group.path)
    yield group
    sockproxy("detach", NAME)
    assert NAME not in pins.names()

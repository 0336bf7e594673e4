"""Fixtures of a bypass that is attached by the command line, and of a database to try one with."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from sockproxy.cgroup import create_owned
from sockproxy.rundir import sight
from tests.support.bypass import ALL_READERS, NAME, sockproxy
from tests.support.servers import Postgres


@pytest.fixture
def attached(group):
    """The cgroup of this process, with a bypass named NAME on it that observes."""
    sockproxy("attach", NAME, "--cgroup", group.path, "--observe")
    yield group
    sockproxy("detach", NAME)
    assert NAME not in sight.names()


@pytest.fixture(scope="module")
def cluster():
    """A database of PostgreSQL, made once for all tests of a file."""
    with tempfile.TemporaryDirectory() as folder:
        yield Postgres(Path(folder))


@pytest.fixture(scope="module")
def shared():
    """As `bypassed`, once for all tests of a file."""
    made = create_owned("bypass")
    made.enter()
    sockproxy("attach", NAME, "--cgroup", made.path, *ALL_READERS)
    yield made
    sockproxy("detach", NAME)
    made.remove()

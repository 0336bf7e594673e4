"""For all tests: skip what this machine cannot run, and catch what a test leaves behind.

SOCKPROXY_REQUIRE=root,bpf,tools turns a skip for one of these needs into a failure.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal

import pytest

from sockproxy.errors import SockproxyError
from sockproxy.proof.ask import forget, proof_of
from sockproxy.proof.mechanisms import BYPASS, MECHANISMS
from sockproxy.proof.record import kept_at
from tests.support import apart, needs, residue
from tests.support.scale import patience

pytest_plugins = ["tests.support.conformance"]

PR_SET_CHILD_SUBREAPER = 36
BUSY_TRIES = 3
PRIVILEGED = ("root", "bpf")
REQUIRED = pytest.StashKey[set]()


def pytest_configure(config):
    try:
        config.stash[REQUIRED] = needs.required(os.environ.get("SOCKPROXY_REQUIRE", ""))
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    allow_time(config)
    os.environ.setdefault("SOCKPROXY_AUDIT", "off")  # nothing is written to /var/log
    # What a shell runs in the background, or nohup anywhere, ignores these, and all that it starts.
    for number, usual in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)
    # Orphans of a test become our children, so that the residue check sees them.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if residue.is_beside_others() and needs.lacks_root() is None:
        apart.live_apart()


def pytest_unconfigure():
    """A worker that was killed, as by Ctrl-C, ends no server of its tests: they are ours now."""
    if not residue.is_beside_others():
        residue.end_children()


def allow_time(config):
    """A slow machine's tests may take longer, as they wait longer: see tests/support/scale.py.

    pytest-timeout has not looked at its option yet, and one of the command line wins.
    """
    limit = config.getini("timeout") if patience(1) != 1 else None
    if limit and config.option.timeout is None:
        config.option.timeout = patience(float(limit))


def pytest_itemcollected(item):
    if "bypassed" in item.fixturenames:
        item.add_marker(pytest.mark.on(BYPASS))


def pytest_runtest_setup(item):
    found = needs.unmet(item.iter_markers())
    if found is None:
        return
    name, why = found
    if name in item.config.stash[REQUIRED]:
        pytest.fail(f"{name} is required by SOCKPROXY_REQUIRE, but: {why}", pytrace=False)
    pytest.skip(why)


def privileged(item):
    return any(item.get_closest_marker(name) for name in PRIVILEGED)


@pytest.fixture(scope="session", autouse=True)
def _nothing_left_by_the_session(request, tmp_path_factory):
    """As below, for what fixtures of a module or the session leave."""
    wanted = any(privileged(item) for item in request.session.items)
    with examined(tmp_path_factory) if wanted else contextlib.nullcontext():
        yield from check_residue(wanted)


@contextlib.contextmanager
def examined(folders):
    """Doctor has examined the kernel; what it keeps until the next boot goes with the tests
    when it was not there before them."""
    place = kept_at()
    before = place is None or place.exists()
    beside = residue.is_beside_others() and place is not None
    shared = folders.getbasetemp().parent
    with apart.once_for_all(shared, place) if beside else contextlib.nullcontext():
        examine()
    yield
    if not before:
        for each in (place, place.with_suffix(".lock")):
            each.unlink(missing_ok=True)


def examine():
    with contextlib.suppress(SockproxyError):
        for mechanism in MECHANISMS * BUSY_TRIES:
            if not proof_of(mechanism).known:
                forget()  # on a busy machine: so that it is asked again, and no test waits for it


@pytest.fixture(autouse=True)
def _nothing_left_behind(request):
    """Fail a privileged test that leaves namespaces, cgroups, pins, mounts or processes."""
    yield from check_residue(privileged(request.node))


def check_residue(wanted):
    if not wanted:
        yield
        return
    before, dead = residue.snapshot(), residue.zombies()
    yield
    residue.bury(dead)  # no fixture of this test waits for them
    if lines := residue.left_behind(before):
        pytest.fail("left behind:\n  " + "\n  ".join(lines), pytrace=False)

"""Nobody can make us wait who may not: locks lie where only we can open them."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import signal
import subprocess
import sys

import pytest

from sockproxy.cgroup import find_mount
from sockproxy.rundir import pins, sight
from tests.support.bypass import NAME, converse, sockproxy, status
from tests.support.hostile import as_nobody
from tests.support.proxy import ROOT, run_sockproxy
from tests.support.scale import patience, scaled
from tests.support.sockets import eventually, receive, tcp_pair

pytestmark = [pytest.mark.root, pytest.mark.bpf]

OTHER = f"{NAME}-other"
MOST = 900  # descriptors of one process


@contextlib.contextmanager
def started(*arguments):
    """`sockproxy ARGUMENTS`, running; what is left of it is ended."""
    with subprocess.Popen(
        [sys.executable, "-m", "sockproxy", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(process, code=0):
    """What it printed, results and errors; it must end with `code`."""
    out, err = process.communicate(timeout=patience(60))
    assert process.returncode == code, err
    assert "Traceback" not in err, err
    return out + err


def lock_all(tops):
    """Hold a lock on all at and below `tops` that can be opened, as far as descriptors go."""
    walks = itertools.chain.from_iterable(map(os.walk, tops))
    paths = (
        [folder, *(os.path.join(folder, name) for name in names)] for folder, _, names in walks
    )
    for path in itertools.islice(itertools.chain.from_iterable(paths), MOST):
        with contextlib.suppress(OSError):
            fcntl.flock(os.open(path, os.O_RDONLY | os.O_NONBLOCK), fcntl.LOCK_EX | fcntl.LOCK_NB)
    signal.pause()


def is_locked(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)


def test_locks_of_others_stop_nothing(group):
    """One who holds a lock on whatever he can open."""
    tops = [find_mount(), "/sys/fs/bpf", "/run/sockproxy", "/run/sockproxy-bpf", "/run", "/tmp"]
    with as_nobody(lock_all, [group.path, *tops]):
        eventually(lambda: is_locked(find_mount()), 60)
        sockproxy("attach", NAME, "--cgroup", group.path, "--observe", timeout=60)
        try:
            assert NAME in sockproxy("status", NAME, timeout=60)
            sockproxy("run", OTHER, "--observe", "--", "true", timeout=60)
        finally:
            assert "detached" in sockproxy("detach", NAME, timeout=60)


@contextlib.contextmanager
def draining():
    """A detach of NAME that waits for a reader: the process, and that reader."""
    one, other = tcp_pair()
    with one, other:
        converse(one, other, times=10)
        one.sendall(b"u")
        with started("detach", NAME, "--timeout", "200s") as process:
            eventually(lambda: status()["mode"] == "drain", 60)
            yield process, other


@pytest.mark.alone  # it attaches to the cgroup that the tests of others have theirs in
def test_a_stalled_reader_holds_up_no_other_name(bypassed):
    """Its own detach waits; all else goes on, a look at it as well."""
    with draining() as (process, reader):
        sockproxy("attach", OTHER, "--cgroup", bypassed.path.parent, "--observe")
        assert "detached" in sockproxy("detach", OTHER)
        assert process.poll() is None
        assert receive(reader, 1) == b"u"
        assert "detached" in finish(process)
    assert NAME not in sight.names()


def test_attached_again_while_it_drains(bypassed):
    """Who detaches says so, and takes nothing out any more."""
    with draining() as (process, reader):
        sockproxy("attach", NAME, "--cgroup", bypassed.path, "--force")
        assert "attached again" in finish(process, 1)
        assert receive(reader, 1) == b"u"
        assert status()["mode"] == "bypass"


def test_who_waits_says_for_whom(group):
    lock = contextlib.ExitStack()
    lock.enter_context(pins.locked(NAME, print))
    with started("attach", NAME, "--cgroup", group.path, "--observe") as process:
        with lock:
            line = process.stderr.readline()
        assert f"waiting for process {os.getpid()}" in line
        assert NAME in line
        finish(process)
    assert "detached" in sockproxy("detach", NAME)


HOLD = """\
import signal, sys
from sockproxy.rundir import pins
with pins.locked(sys.argv[1], print) as held:
    held.place.at("~" + sys.argv[1]).mkdir()
    print("held", flush=True)
    signal.pause()
"""


def test_a_killed_holder_frees_it_and_is_cleared_away(group):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, NAME], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert holder.stdout.readline() == "held\n"
    sockproxy("attach", OTHER, "--cgroup", group.path, "--observe")
    try:
        assert "was left" not in run_sockproxy("status").stderr
        holder.kill()
        holder.communicate()
        assert f"/~{NAME} was left" in run_sockproxy("status").stderr
        sockproxy("attach", NAME, "--cgroup", group.path, "--observe")
        assert "detached" in sockproxy("detach", NAME)
        with pins.locked(OTHER, print) as held:
            assert held.place.names() == sorted([OTHER, f"+{OTHER}"])
    finally:
        sockproxy("detach", OTHER)


AGAIN = """\
import sys
from pathlib import Path
from sockproxy.bypass.attach import attach
from sockproxy.bypass.detach import detach
from sockproxy.bypass.options import BypassOptions
for _ in range(int(sys.argv[3])):
    attach(sys.argv[1], Path(sys.argv[2]), BypassOptions(observe=True, force=True, connections=8))
    detach(sys.argv[1], 30)
"""


def test_many_at_once_with_one_name(group):
    """Each attach and each detach is done as a whole."""
    argv = [sys.executable, "-c", AGAIN, NAME, str(group.path), str(scaled(4, 2))]
    processes = [
        subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(4)
    ]
    errors = [process.communicate(timeout=patience(200))[1] for process in processes]
    # That it was attached again while it was being detached is a proper answer.
    for process, error in zip(processes, errors, strict=True):
        assert process.returncode == 0 or "attached again meanwhile" in error, error
    detach_all = sockproxy("detach", NAME)
    assert "detached" in detach_all or "was not attached" in detach_all
    assert NAME not in sight.names()

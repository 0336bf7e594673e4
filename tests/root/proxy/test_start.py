"""A start without doctor's record: it relays at once, accelerates later, and may end any time."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sockproxy.cgroup import find_mount
from sockproxy.proof.ask import forget
from sockproxy.proxy.asking import ask
from sockproxy.rundir import runtime_root
from tests.support.bypass import NAME
from tests.support.bypass import sockproxy as command
from tests.support.proxy import ROOT, START, pattern_server, run_flows, run_sockproxy, running_proxy
from tests.support.record import restored_record
from tests.support.scale import scaled
from tests.support.sockets import eventually, receive

pytestmark = [pytest.mark.root, pytest.mark.bpf]
KILLS = scaled(8, 2)  # for each signal
SEED = int(os.environ.get("SOCKPROXY_SEED") or random.randrange(1 << 32))
ACCELERATED = 120.0  # seconds that doctor may take here, beside whatever else runs
# Read by each Python that is started with it: a doctor whose probes of a bypass meet `error`.
BROKEN = """
import sys
if "sockproxy.doctor" in sys.orig_argv or "doctor" in sys.orig_argv:
    import contextlib
    from sockproxy.doctor import examine, trial  # noqa: F401
    sys.modules["sockproxy.doctor.examine"].PAUSE = 0.01
    @contextlib.contextmanager
    def refuse(self, **_):
        raise {error}
        yield
    trial.Trial.bypassed = refuse
"""


@pytest.fixture
def no_record():
    """Nobody has asked doctor since the boot; what was kept is back afterwards."""
    with restored_record() as place:
        place.unlink(missing_ok=True)
        forget()
        yield place


def doctors(pid):
    """The processes of a doctor that `pid` has started, and which are alive."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            argv = (folder / "cmdline").read_bytes().split(b"\0")
            if b"sockproxy.doctor" in argv and str(pid).encode() in argv:
                found.append(int(folder.name))
    return found


def test_it_relays_at_once_and_accelerates_later(no_record):
    with pattern_server() as server, running_proxy(server) as proxy:
        # So the doctor, which takes seconds, was not waited for.
        assert "relaying in user space for now" in proxy.stderr()
        status = proxy.status()
        if not status["accelerated"]:
            assert "doctor is finding out" in status["why_not"]
        spec = {"up": 3000, "down": 3000, "writes": 100}
        assert not run_flows(proxy.address, clients=1, count=4, **spec)
        eventually(lambda: "accelerated from now on" in proxy.stderr(), ACCELERATED)
        status = proxy.status()
        assert (status["accelerated"], status["why_not"]) == (True, "")
        assert not doctors(proxy.pid)
        assert not run_flows(proxy.address, clients=1, count=4, **spec)
        # The listener was opened in the cgroup, and so sock_ops enrols what comes by it.
        assert proxy.settled()["enrolments"]["enrolled"] >= 4
    assert json.loads(no_record.read_text())["verdicts"].keys() == {"splice", "sock_ops enrolment"}


def converse(one, other):
    """Requests and answers, as many as make a direction worth redirecting."""
    for _ in range(20):
        for source, target in ((one, other), (other, one)):
            source.sendall(b"message")
            assert receive(target, 7) == b"message"


def test_a_connection_from_before_stays_in_user_space(no_record):
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        running_proxy(server.getsockname()) as proxy,
        contextlib.ExitStack() as ends,
    ):
        server.settimeout(START)

        def connected():
            client = ends.enter_context(socket.create_connection(proxy.address, START))
            upstream = ends.enter_context(server.accept()[0])
            upstream.settimeout(START)
            converse(client, upstream)
            return client, upstream

        before = connected()
        if "accelerated from now on" in proxy.stderr():
            pytest.skip("doctor was faster than the first connection")
        eventually(lambda: "accelerated from now on" in proxy.stderr(), ACCELERATED)
        converse(*before)
        connected()
        old, new = proxy.connections()
        assert old["forward"]["redirected"] == old["backward"]["redirected"] == 0
        assert "doctor is finding out" in old["forward"]["why"]
        assert new["forward"]["redirected"] > 0


def proxy_argv(name):
    return [sys.executable, "-m", "sockproxy", "proxy", "--listen", "127.0.0.1:0",
            "--upstream", "127.0.0.1:9", "--name", name]  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_at_any_moment_of_the_start_ends_it_cleanly(no_record, number, tmp_path):
    """Before it has done anything the signal kills it; later it ends, and SIGHUP is nothing."""
    chance = random.Random(SEED)
    for turn in range(KILLS):
        no_record.unlink(missing_ok=True)
        name = f"test-start-{os.getpid()}-{turn}"
        with open(tmp_path / "log", "w+") as log:
            process = subprocess.Popen(proxy_argv(name), stderr=log, cwd=ROOT)
            moment = chance.uniform(0, 1.5)
            time.sleep(moment)
            process.send_signal(number)
            if number == signal.SIGHUP:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.2)
                process.send_signal(signal.SIGTERM)
            code = process.wait(START)
            log.seek(0)
            said = log.read()
        told = f"seed {SEED}, turn {turn}, after {moment:.3f} s: {code}\n{said}"
        if number == signal.SIGINT and "Traceback" in said and "sockproxy/cli" not in said:
            continue  # Python had not come to us yet
        assert code in (0, -number, 128 + number, -signal.SIGTERM), told
        assert code == 0 or not said.strip(), told
        assert "Traceback" not in said, told
        assert not doctors(process.pid), told
        assert not (runtime_root() / name).exists(), told
        assert not list(find_mount().glob(f"sockproxy/{name}.*")), told


def test_hangup_is_logged(no_record):
    with running_proxy(("127.0.0.1", 9)) as proxy:
        proxy.signal(signal.SIGHUP)
        proxy.says("SIGHUP does nothing")
        assert proxy.status()["pid"] == proxy.pid


def test_doctor_ends_with_a_proxy_that_is_killed(no_record):
    """And what the two leave is removed by the next start."""
    name = f"test-start-{os.getpid()}"
    process = subprocess.Popen(proxy_argv(name), stderr=subprocess.DEVNULL, cwd=ROOT)
    try:
        eventually(lambda: len(doctors(process.pid)) > 1, START)
    finally:
        process.kill()
        process.wait()
    eventually(lambda: not doctors(process.pid), START)
    with running_proxy(("127.0.0.1", 9)):
        assert not (runtime_root() / name).exists()
        assert not list(find_mount().glob(f"sockproxy/{name}.*"))
    assert not list(find_mount().glob(f"sockproxy/*.{process.pid}.*"))


@pytest.fixture
def broken(tmp_path):
    """A function: the environment in which probes of a bypass raise that."""

    def breaks(error):
        (tmp_path / "sitecustomize.py").write_text(BROKEN.format(error=error))
        return {"env": os.environ | {"PYTHONPATH": str(tmp_path)}}

    return breaks


MOMENTARY = ["OSError(24, 'Too many open files')", "OSError(11, 'again')", "TimeoutError('late')"]


@pytest.mark.parametrize("error", MOMENTARY[:2])
def test_attach_says_that_it_could_not_find_out(group, no_record, broken, error):
    argv = ("attach", NAME, "--cgroup", group.path)
    told = command(*argv, code=1, timeout=ACCELERATED, **broken(error))
    assert "could not find out whether bypass is safe here" in told
    assert "off on this kernel" not in told
    assert "try again, or --force" in told
    assert "not found out yet: bypass" in told  # while it tried
    assert not no_record.exists() or "bypass" not in json.loads(no_record.read_text())["verdicts"]
    command(*argv, timeout=ACCELERATED)  # and it is found out when the machine lets it
    command("detach", NAME)


def test_run_runs_plainly_meanwhile(no_record, broken):
    code = "import sys; sys.exit(7)"
    argv = ("run", NAME, "--", sys.executable, "-c", code)
    told = command(*argv, code=7, timeout=ACCELERATED, **broken(MOMENTARY[0]))
    assert "by plain TCP: attach a bypass: could not find out" in told


def test_doctor_tells_what_it_could_not_find_out(no_record, broken):
    done = run_sockproxy("doctor", timeout=ACCELERATED, **broken(MOMENTARY[0]))
    assert done.returncode == 1
    assert "\nbypass: not known: bypass: [Errno 24] Too many open files" in done.stdout
    assert "\nsplice: on\n" in done.stdout
    assert "bypass: off" not in done.stdout
    assert "bypass" not in json.loads(no_record.read_text())["verdicts"]
    done = run_sockproxy("doctor", "--json", timeout=ACCELERATED, **broken(MOMENTARY[0]))
    told = json.loads(done.stdout)
    assert (told["mechanisms"]["bypass"]["on"], told["mechanisms"]["bypass"]["failed"]) == (
        False,
        [],
    )
    assert "Too many open files" in told["mechanisms"]["bypass"]["unknown"]["bypass"]
    names = [each["name"] for each in told["checks"]]
    assert len(names) == len(set(names))


def test_one_that_listens_can_be_asked():
    """Though it is still loading its programs, and answers when it has."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    argv = [sys.executable, "-m", "sockproxy", "proxy", "--name", NAME, "--listen",
            f"127.0.0.1:{address[1]}", "--upstream", "127.0.0.1:9"]  # fmt: skip
    process = subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:

        def listens():
            with socket.socket() as sock:
                return sock.connect_ex(address) == 0

        eventually(listens, 20)
        assert ask(NAME, "status")["name"] == NAME
    finally:
        process.terminate()
        process.wait()

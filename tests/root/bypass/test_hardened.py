"""Kernels of another build, met by whole commands: see tests/support/refusing.py."""

from __future__ import annotations

import contextlib
import json
import os
import sys

import pytest

from sockproxy.net.tcp import socket_cookie
from sockproxy.proof.ask import proof_of
from sockproxy.proof.mechanisms import VERDICT_ONLY
from tests.root.doctor.test_as_doctor_says import TALK
from tests.support import refusing
from tests.support.bypass import ALL_READERS, NAME, converse
from tests.support.machine import machine
from tests.support.namespace import Namespace
from tests.support.schema import check_document
from tests.support.sockets import tcp_pair

pytestmark = [pytest.mark.root, pytest.mark.bpf]

SLOW = ("--patience", "60s")  # doctor has nothing to fear here but other programs' load


@contextlib.contextmanager
def kernel(**refused):
    """A function: `sockproxy ARGUMENTS` on such a kernel, which must end with `code`."""
    with machine() as made:
        environment = os.environ | refusing.environment(**refused)

        def command(*arguments, code=0, timeout=120):
            done = made.run(*arguments, env=environment, timeout=timeout)
            assert done.returncode == code, done.stdout + done.stderr
            if "--json" in arguments:
                check_document(done.stdout)
            return done

        yield command


def test_hardened(group):
    """Nothing is off that was on; connections are listed in each network namespace."""
    inside = Namespace(NAME)
    with contextlib.ExitStack() as stack:
        stack.callback(inside.remove)
        command = stack.enter_context(kernel(kinds=refusing.hardened()))
        report = json.loads(command("doctor", "--json", *SLOW).stdout)
        for name, said in report["mechanisms"].items():
            assert said["on"] == (name != VERDICT_ONLY and proof_of(name).on), (name, said)
        (listing,) = (each for each in report["checks"] if each["name"] == "bypass: listing")
        assert listing["ok"]
        assert "list_storage: Operation not permitted (EPERM)" in listing["found"]

        command("attach", NAME, "--cgroup", group.path, *ALL_READERS)
        pairs = [tcp_pair(), inside.socket(tcp_pair)]
        for pair in pairs:
            for each in pair:
                stack.enter_context(each)
            converse(*pair)
        (told,) = json.loads(command("status", NAME, "--json").stdout)["bypasses"]
        assert (told["lists_by"], told["live"], told["unseen"]) == ("namespaces", 4, 0)
        (told,) = json.loads(command("connections", NAME, "--json").stdout)["bypasses"]
        states = {each["cookie"]: each["state"] for each in told["connections"]}
        assert states == dict.fromkeys(map(socket_cookie, sum(pairs, ())), "bypassing")
        pairs[1][0].sendall(b"!")
        assert "1 bytes unread" in command("detach", NAME, "--timeout", "10ms", code=1).stderr
        assert pairs[1][1].recv(2) == b"!"
        command("detach", NAME)
        for pair in pairs:
            converse(*pair)


def test_confidentiality():
    """Lockdown lets no program read the kernel: all is off, and everything works by plain TCP."""
    with kernel(helpers=refusing.KERNEL_READS) as command:
        report = json.loads(command("doctor", "--json", *SLOW, code=2).stdout)
        assert not any(said["on"] for said in report["mechanisms"].values())
        refused = [each for each in report["checks"] if "cannot use helper" in each["found"]]
        assert any("bypass_sock_ops" in each["found"] for each in refused)
        for each in report["checks"]:
            assert "doctor" not in (each["hint"] or "")
        told = command("attach", NAME, "--cgroup", "/sys/fs/cgroup", code=2).stderr
        assert "cgroup" in told
        told = command("run", NAME, "--", sys.executable, "-c", TALK).stderr
        assert "by plain TCP" in told
        assert "cannot use helper" in told


def test_a_system_that_is_off_is_a_row_that_says_why():
    """As `make demo` shows it: no failure."""
    with kernel(programs=["bypass_read"]) as command:
        command("doctor", *SLOW, code=1)
        done = command(
            *("bench", "run", "quick", "--rounds", "1", "--only", "pingpong"),
            *("--system", "bypass", "--output", "/run/result.json"),
        )
        assert "sockproxy bypass  off: bypass: readers: bypass_read" in done.stdout
        assert "plain TCP" in done.stdout

"""What goes while connections live: cgroups, namespaces, other owners, sockproxy itself."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

import sockproxy
from sockproxy.bpf.splice import SockmapKernel
from sockproxy.net.tcp import socket_cookie
from sockproxy.rundir import sight
from tests.support.bypass import (
    ALL_READERS,
    NAME,
    assert_paired,
    connections,
    converse,
    finish_talk,
    start_talk,
    status,
)
from tests.support.bypass import sockproxy as run
from tests.support.namespace import Namespace
from tests.support.pattern import Checker
from tests.support.proxy import ROOT, pattern_server, run_flows, running_proxy
from tests.support.scale import patience, scaled
from tests.support.sockets import eventually, receive, tcp_pair

pytestmark = [pytest.mark.root, pytest.mark.bpf]


def bypassing(one, other):
    """Both ends bypass, and the bytes are right."""
    converse(one, other, times=10)
    assert {connections()[socket_cookie(each)]["state"] for each in (one, other)} == {"bypassing"}


# -- who else is there ---------------------------------------------------------------------


def test_another_program_on_the_same_cgroup(bypassed):
    """Of sock_ops, with a sockmap of its own that has no program: both have each socket."""
    kernel = SockmapKernel(8)
    try:
        fd = os.open(bypassed.path, os.O_DIRECTORY)
        try:
            kernel.watch_cgroup(fd)
        finally:
            os.close(fd)
        one, other = tcp_pair()
        with one, other:
            bypassing(one, other)
            assert kernel.enrolments()["enrolled"] == 2
    finally:
        kernel.close()
    one, other = tcp_pair()
    with one, other:
        bypassing(one, other)


def test_a_second_bypass_leaves_the_sockets_to_the_first(bypassed):
    """Two programs of sk_msg: the kernel answers EBUSY to the second map."""
    second = f"{NAME}-b"
    inner = bypassed.child("inner").create()
    run("attach", second, "--cgroup", inner.path, *ALL_READERS)
    try:
        with inner.entered():
            one, other = tcp_pair()
            with one, other:
                converse(one, other, times=50)
                counts = [status(name) for name in (NAME, second)]
                assert sorted(each["bypassed_messages"] > 0 for each in counts) == [False, True]
                assert sorted(each["owned"] for each in counts) == [0, 2]
    finally:
        run("detach", second)
        inner.remove()
    one, other = tcp_pair()
    with one, other:
        bypassing(one, other)


# -- what is removed -----------------------------------------------------------------------


def test_cgroup_removed_while_attached(group):
    """Its connections go on as long as they live; then a detach finds nothing amiss."""
    inner = group.child("inner").create()
    run("attach", NAME, "--cgroup", inner.path, *ALL_READERS)
    try:
        with inner.entered():
            one, other = tcp_pair()
        with one, other:
            bypassing(one, other)
            one.sendall(b"unread")
            inner.remove()
            assert not inner.path.exists()
            assert receive(other, 6) == b"unread"
            converse(one, other, times=50)
            assert "removed" in status()["cgroup"]
    finally:
        run("detach", NAME)
    assert NAME not in sight.names()


def test_namespace_removed_while_connections_live(bypassed):
    inside = Namespace(NAME)
    try:
        one, other = inside.socket(tcp_pair)
    finally:
        inside.remove()
    with one, other:
        bypassing(one, other)
        assert_paired(one, other)
    eventually(lambda: status()["live"] == 0)


def test_namespace_removed_while_spliced():
    inside = Namespace(NAME)
    try:
        client, a = inside.socket(tcp_pair)
        server, b = inside.socket(tcp_pair)
    except BaseException:
        inside.remove()
        raise
    with sockproxy.Splicer(pairs=2, eager=True) as splicer:
        splice = splicer.splice(a, b)
        with client, server:
            converse(client, server, times=10)
            inside.remove()
            converse(client, server, times=10)
            assert splice.stats().forward.redirected == 20
            client.close()
            assert server.recv(1) == b""
            server.close()
            assert splice.wait(patience(5)).outcome == "finished"


# -- who is killed -------------------------------------------------------------------------

# Ends itself by SIGKILL before the n-th of the steps that leave something behind; says
# "done" if there are fewer.
KILLED = """\
import os, signal, sys
from sockproxy.cli import main
from sockproxy.bpf import bypass, bypass_kernel
from sockproxy.bpf import BpfObject, Link, Program
left = int(sys.argv.pop(1))
def deadly(step):
    def do(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(*arguments, **options)
    return do
bypass_kernel.pin = deadly(bypass_kernel.pin)
for kind, steps in {
    Link: ["pin"], BpfObject: ["load"], os: ["mkdir", "rename", "unlink", "rmdir"],
    Program: ["attach", "attach_to_cgroup", "attach_to_map", "attach_iterator"],
    bypass.Bypass: ["change", "stop", "take_out", "in_map"],
}.items():
    for step in steps:
        setattr(kind, step, deadly(getattr(kind, step)))
try:
    main()
finally:
    print("done", flush=True)
"""
MOST_STEPS = 100


def killed_at(step, *arguments):
    """Whether the command was killed before that step; else it did all that it had to."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(step), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=patience(60),
    )
    if done.returncode == -signal.SIGKILL:
        return True
    assert "done" in done.stdout, done.stderr
    assert done.returncode == 0, done.stderr
    return False


@pytest.mark.parametrize("command", ["attach", "detach"])
def test_killed_at_every_step(group, command):
    """Connections work, and the next attach and detach do what is left to do."""
    attach = ["attach", NAME, "--cgroup", group.path, *ALL_READERS]
    # Some of the steps only, where tests are scaled down.
    stride = max(1, round(MOST_STEPS / scaled(MOST_STEPS, 8)))
    step, killed = 0, True
    while killed:
        assert step < MOST_STEPS
        try:
            if command == "detach":
                run(*attach)
            one, other = tcp_pair()
            with one, other:
                converse(one, other)
                killed = killed_at(step, *(attach if command == "attach" else ["detach", NAME]))
                converse(one, other)
            third, fourth = tcp_pair()
            with third, fourth:
                (converse if killed or command == "detach" else bypassing)(third, fourth)
        finally:
            run("detach", NAME)
        assert NAME not in sight.names()
        step += stride
    assert step > stride  # it was killed at some


def test_bypass_goes_on_without_a_process(bypassed):
    """There is no process that could be killed: a conversation outlives every command."""
    processes = start_talk(turns=scaled(5000, 200), sizes=(1, 64, 1000, 4096))
    for step in range(3):
        killed_at(step, "attach", NAME, "--cgroup", bypassed.path, *ALL_READERS)
    finish_talk(processes)
    assert status()["bypassed_messages"] > 50


DOWNLOAD = {"number": 1, "up": 0, "down": 1 << 40, "writes": 1 << 20, "nap": 0, "order": "both"}


@pytest.mark.parametrize("option", ["--eager", "--relay"])
def test_proxy_killed_under_load(option):
    """Both ends learn of it, and what arrived until then is right."""
    with pattern_server() as address:
        with (
            pytest.raises(AssertionError, match="exit -9"),
            running_proxy(address, option) as proxy,
        ):
            with socket.create_connection(proxy.address, timeout=patience(20)) as client:
                client.sendall(json.dumps(DOWNLOAD).encode() + b"\n")
                checker = Checker(3)
                while checker.offset < scaled(20_000_000, 100_000):
                    checker.feed(client.recv(1 << 20))
                proxy.signal(signal.SIGKILL)
                try:
                    while part := client.recv(1 << 20):
                        checker.feed(part)
                except ConnectionResetError:
                    pass
            proxy.process.wait(patience(10))
        with running_proxy(address, option, "--name", proxy.name) as again:
            assert not run_flows(again.address, up=1000, down=1000)

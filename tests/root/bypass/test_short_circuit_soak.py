"""Short-circuit for minutes: lives of all kinds, while the bypass comes, changes and goes and
proxies are stopped for a while, on busy cores."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time

import pytest

from tests.support.bypass import ALL_READERS, NAME, sockproxy
from tests.support.churn import Churn
from tests.support.memory import busy_cores
from tests.support.rounds import MOST, ROUND, go_round
from tests.support.short_circuit import attach, chain_of, joined, live, past, until_past
from tests.support.talk import KINDS

pytestmark = [
    pytest.mark.root,
    pytest.mark.bpf,
    pytest.mark.on("bypass", "splice"),
    pytest.mark.soak,
]

LENGTH = int(os.environ.get("SOCKPROXY_SOAK", "120"))  # seconds of all tests together
LATE = 240  # seconds that a command may take where every core is busy several times over
OPTIONS = (["--budget", "8KiB"], ["--deny", "1-10"], ["--observe"], [], ["--except", "none"])


@contextlib.contextmanager
def chain(**_):
    """As if there were one."""
    with chain_of(2) as (mesh, _):
        yield mesh


def load(mesh, seconds):
    """So long; bytes that were sent, each of them checked."""
    until, seed, sent = time.monotonic() + seconds, 0, 0
    while time.monotonic() < until:
        seed += 10_000
        talks = [
            mesh.talk(seed=seed + each, turns=2000, kinds=list(KINDS), blocking=each % 2 == 0)
            for each in range(2)
        ]
        sent += live(mesh.listener, mesh.proxy.address, seed=seed, count=2000, at_once=50)
        sent += mesh.finish(*talks)
    return sent


@pytest.mark.parametrize("way", [past, chain], ids=["a proxy", "a chain"])
def test_lives_without_a_change(bypassed, way):
    with way() as mesh:
        sent = load(mesh, LENGTH / 4)
        print(f"{sent} bytes, {mesh.total()} of them past the proxy")
        assert mesh.total() > sent / 20


@pytest.mark.parametrize("way", [past, chain], ids=["a proxy", "a chain"])
def test_lives_while_all_changes(group, way):
    rng = random.Random(1)

    def change(_):
        options = rng.choice(OPTIONS)
        sockproxy("attach", NAME, "--cgroup", group.path, *ALL_READERS, *options, timeout=LATE)
        time.sleep(2 * rng.random())
        if rng.random() < 0.3:
            sockproxy("detach", NAME, timeout=LATE)
        if rng.random() < 0.3:
            mesh.proxy.signal(signal.SIGSTOP)
            time.sleep(rng.random())
            mesh.proxy.signal(signal.SIGCONT)

    attach(group)
    try:
        with way(says="") as mesh, busy_cores(os.cpu_count() // 2), Churn(change):
            load(mesh, LENGTH / 4)
            assert mesh.total()
    finally:
        sockproxy("detach", NAME, timeout=LATE)


def test_counts_that_go_round(bypassed):
    """Each end's count of what it sent and read by TCP, modulo 2^32."""
    with past() as mesh, joined(mesh, size=MOST) as (client, server):
        go_round(client, server)
        forward = mesh.row()["forward"]
        print(f"{forward['short_circuited']} bytes past the proxy")
        assert forward["short_circuited"]
        assert forward["redirected"] + forward["pumped"] > ROUND
        until_past(client, server)

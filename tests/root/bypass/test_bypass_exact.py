"""Bypass: every byte once, in order, whatever the connection goes through."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time

import pytest

from tests.support.bypass import ALL_READERS, NAME, finish_talk, sockproxy, start_talk, status
from tests.support.churn import Churn
from tests.support.memory import busy_cores
from tests.support.proxy import ROOT, run_flows
from tests.support.scale import scaled
from tests.support.sockets import eventually
from tests.support.talk import KINDS

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass")]

SMALL = (1, 3, 64, 100, 1000, 4096)


def counted():
    """Messages so far: (bypassed, passed)."""
    now = status()
    return now["bypassed_messages"], now["passed_messages"]


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "polled"])
def test_each_way_to_send(bypassed, kind, blocking):
    processes = start_talk(
        kinds=[kind],
        blocking=blocking,
        seed=len(kind),
        turns=scaled(1000, 100),
        sizes=(*SMALL, 30_000),
    )
    finish_talk(processes)
    assert counted()[0] > scaled(500, 20)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_to_and_fro_under_contention(bypassed, host):
    """Turns beyond the budget pass, those after the next answer bypass: thousands of times."""
    sockproxy(
        "attach",
        NAME,
        "--cgroup",
        bypassed.path,
        *ALL_READERS,
        "--budget",
        "16KiB",
    )
    sizes = (1, 64, 1000, 12_000, 20_000, 60_000)
    with busy_cores(os.cpu_count()):
        talks = [
            start_talk(
                host,
                seed=seed,
                turns=scaled(3000, 200),
                sizes=sizes,
                kinds=list(KINDS),
                blocking=seed % 2,
            )
            for seed in range(4)
        ]
        for each in talks:
            finish_talk(each)
    past, by_tcp = counted()
    assert past > scaled(10_000, 100)
    assert by_tcp > scaled(10_000, 100)


def test_streams_and_slow_readers(bypassed):
    """Both directions of each connection at once, in threads: mostly TCP, and exact."""
    server = [sys.executable, "-m", "tests.support.peer", "server", "0"]
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            address = ("127.0.0.1", int(process.stdout.readline()))
            assert not run_flows(
                address, count=8, up=scaled(3_000_000), down=scaled(2_000_000), writes=300_000
            )
            assert not run_flows(address, count=8, up=90_000, down=90_000, writes=100, nap=0.05)
        finally:
            process.kill()


def test_a_long_conversation_that_streams_now_and_then(bypassed):
    """It is taken out of the sockmap in the middle, in both directions."""
    finish_talk(start_talk(turns=scaled(400, 100), sizes=(64, 5000, 1 << 20), kinds=list(KINDS)))
    assert status()["streams"] >= 1


# -- what changes meanwhile --------------------------------------------------------------


def test_options_change_under_load(bypassed):
    options = (["--deny", "1-2"], ["--budget", "8KiB"], ["--observe"], [], ["--allow", "1-65535"])

    def change(number):
        sockproxy(
            "attach",
            NAME,
            "--cgroup",
            bypassed.path,
            *ALL_READERS,
            *options[number % len(options)],
        )

    least = scaled(10, 2)
    with Churn(change) as churn:
        until, seed = time.monotonic() + scaled(7.0, 2.0), 0
        while time.monotonic() < until or churn.goes_on(least):
            seed += 1
            finish_talk(start_talk(seed=seed, turns=scaled(1500, 200), kinds=["send", "sendmsg"]))
    assert churn.times > least


def test_attach_and_detach_under_load(group):
    """Conversations that began under one bypass live through the next ones."""
    past, least = [], scaled(10, 2)

    def change(number):
        if number % 2 == 0:
            sockproxy("attach", NAME, "--cgroup", group.path, *ALL_READERS)
            time.sleep(random.random() / 2)
        else:
            past.append(status()["bypassed_messages"])
            sockproxy("detach", NAME)

    try:
        with Churn(change) as churn:
            until, seed = time.monotonic() + scaled(12.0, 2.0), 0
            while time.monotonic() < until or churn.goes_on(least):
                seed += 1
                talks = [
                    start_talk(seed=seed * 10 + each, turns=scaled(2000, 200), sizes=sizes)
                    for each, sizes in enumerate([SMALL, (1, 64, 300_000), (64, 16384, 65536)])
                ]
                for each in talks:
                    finish_talk(each)
    finally:
        sockproxy("detach", NAME)
    assert churn.times > least
    assert sum(past) > scaled(1000, 20), past


def test_denied_later(bypassed):
    """A rule that comes later stops a conversation from being bypassed."""
    processes = start_talk(turns=scaled(30_000, 10_000), sizes=SMALL)
    eventually(lambda: counted()[0] > 100, 20)
    sockproxy(
        "attach",
        NAME,
        "--cgroup",
        bypassed.path,
        *ALL_READERS,
        "--deny",
        "127.0.0.0/8",
    )
    time.sleep(0.2)
    before = counted()[0]
    time.sleep(0.3)
    assert counted()[0] == before
    finish_talk(processes)

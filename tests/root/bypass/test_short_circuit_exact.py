"""Short-circuit: every byte once, in order, whatever the connection goes through."""

from __future__ import annotations

import contextlib
import os
import random
import time

import pytest

from tests.support.bypass import NAME, sockproxy, status
from tests.support.churn import Churn
from tests.support.memory import busy_cores
from tests.support.scale import scaled
from tests.support.short_circuit import EAGER, attach, live, past
from tests.support.sockets import eventually
from tests.support.talk import KINDS

pytestmark = [
    pytest.mark.root,
    pytest.mark.bpf,
    pytest.mark.on("bypass"),
    pytest.mark.on("splice"),
]

SMALL = (1, 3, 64, 100, 1000, 4096)
MODES = pytest.mark.parametrize("mode", [(), EAGER], ids=["auto", "eager"])


@pytest.fixture
def mesh(bypassed):
    """A proxy between two ends of one bypass."""
    with past() as mesh:
        yield mesh


@pytest.fixture(params=[(), EAGER], ids=["auto", "eager"])
def each_mesh(bypassed, request):
    with past(*request.param) as mesh:
        yield mesh


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "polled"])
def test_each_way_to_send(mesh, blocking):
    mesh.finish(
        *[
            mesh.talk(
                kinds=[kind],
                blocking=blocking,
                seed=number,
                turns=scaled(600, 100),
                sizes=(*SMALL, 30_000),
            )
            for number, kind in enumerate(KINDS)
        ]
    )
    assert status()["bypassed_messages"] > scaled(200, 10) * len(KINDS)
    assert mesh.total() == status()["bypassed_bytes"]


@MODES
def test_to_and_fro_under_contention(bypassed, mode):
    """Turns beyond the budget go through the proxy, those after the next answer past it again:
    thousands of times."""
    attach(bypassed, "--budget", "16KiB")
    sizes = (1, 64, 1000, 12_000, 20_000, 60_000)
    with past(*mode) as mesh, busy_cores(os.cpu_count()):
        mesh.finish(
            *[
                mesh.talk(
                    seed=seed,
                    turns=scaled(1500, 200),
                    sizes=sizes,
                    kinds=list(KINDS),
                    blocking=seed % 2,
                )
                for seed in range(4)
            ]
        )
    now = status()
    assert now["bypassed_messages"] > scaled(2000, 50)
    assert now["passed_messages"] > scaled(2000, 50)


def test_talk_stream_and_talk(each_mesh):
    """Streams go through the proxy; both ways at once, too, and to slow readers."""
    mesh = each_mesh
    sizes = (64, 1000, 5000, 1 << 20)
    mesh.finish(
        *[
            mesh.talk(seed=seed, turns=scaled(300, 50), sizes=sizes, kinds=list(KINDS))
            for seed in range(2)
        ],
        mesh.talk(seed=7, turns=scaled(600, 100), sizes=(*SMALL, 100_000), nap=0.02),
    )
    assert mesh.total()


@MODES
def test_lives_of_all_kinds(bypassed, mode):
    """They are joined, leave and end at any moment."""
    with past(*mode) as mesh:
        live(mesh.listener, mesh.proxy.address, count=scaled(1000, 50))
        assert mesh.total() > scaled(10_000_000, 100_000)
        assert mesh.proxy.settled()["connections_ended"] == scaled(1000, 50)


# -- what changes meanwhile --------------------------------------------------------------


def load(mesh, seed):
    """Long conversations beside lives, for some seconds."""
    talks = [mesh.talk(seed=seed + each, turns=scaled(3000, 200), sizes=SMALL) for each in range(2)]
    live(mesh.listener, mesh.proxy.address, seed=seed, count=scaled(300, 20))
    mesh.finish(*talks)


def test_options_change_under_load(mesh, bypassed):
    options = (["--deny", "1-2"], ["--budget", "8KiB"], ["--observe"], [], ["--allow", "1-65535"])
    least = scaled(6, 2)
    with Churn(lambda number: attach(bypassed, *options[number % len(options)])) as churn:
        until, seed = time.monotonic() + scaled(4.0, 2.0), 0
        while time.monotonic() < until or churn.goes_on(least):
            seed += 1000
            load(mesh, seed)
    assert churn.times > least
    assert mesh.total()


def test_attach_and_detach_under_load(group):
    """Connections that began in one bypass live through the next ones. Most lives are short, which
    keeps their service plain for seconds: how many go past the proxy is chance here."""
    least = scaled(4, 2)

    def change(number):
        if number % 2 == 0:
            attach(group)
            time.sleep(random.random())
        else:
            with contextlib.suppress(AssertionError):
                eventually(lambda: status()["bypassed_messages"], 3)
            sockproxy("detach", NAME)

    with past(says="") as mesh:
        try:
            with Churn(change) as churn:
                until, seed = time.monotonic() + scaled(5.0, 2.0), 0
                while time.monotonic() < until or churn.goes_on(least):
                    seed += 1000
                    load(mesh, seed)
        finally:
            sockproxy("detach", NAME)
        assert churn.times > least

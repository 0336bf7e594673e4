"""Bypass for minutes: sequence numbers that go round, and everything changing at once."""

from __future__ import annotations

import os
import random
import threading
import time

import pytest

from tests.support.bypass import ALL_READERS, NAME, converse, finish_talk, sockproxy, start_talk
from tests.support.memory import busy_cores
from tests.support.rounds import MOST, go_round
from tests.support.sockets import tcp_pair
from tests.support.talk import KINDS

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass"), pytest.mark.soak]

LATE = 240  # seconds that a command may take where every core is busy several times over


def test_a_stream_that_goes_round(bypassed):
    one, other = tcp_pair()
    with one, other:
        converse(one, other, size=MOST)
        go_round(one, other)


def test_everything_at_once(group):
    """Conversations of all kinds while the bypass comes, changes and goes, on busy cores."""
    done, errors = threading.Event(), []
    options = (["--budget", "8KiB"], ["--deny", "1-10"], ["--observe"], [], ["--except", "none"])

    def change():
        rng = random.Random(1)
        try:
            while not done.is_set():
                sockproxy(
                    "attach",
                    NAME,
                    "--cgroup",
                    group.path,
                    *ALL_READERS,
                    *rng.choice(options),
                    timeout=LATE,
                )
                time.sleep(rng.random() / 4)
                if rng.random() < 0.3:
                    sockproxy("detach", NAME, timeout=LATE)
        except AssertionError as error:
            errors.append(error)

    churn = threading.Thread(target=change)
    churn.start()
    try:
        with busy_cores(os.cpu_count()):
            until, seed = time.monotonic() + 90, 0
            while time.monotonic() < until:
                seed += 4
                talks = [
                    start_talk(
                        seed=seed + number, turns=1500, kinds=list(KINDS), blocking=number % 2 == 0
                    )
                    for number in range(4)
                ]
                for each in talks:
                    finish_talk(each)
    finally:
        done.set()
        churn.join()
        sockproxy("detach", NAME)
    assert not errors, errors

"""Bypass for minutes: sequence numbers that go round, and everything changing at once."""

from __future__ import annotations

import os
import random
import threading
import time

import pytest

from tests.support.bypass import ALL_READERS, NAME, converse, finish_talk, sockproxy, start_talk
from tests.support.memory import busy_cores
from tests.support.sockets import receive, tcp_pair
from tests.support.talk import KINDS

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.on("bypass"), pytest.mark.soak]

BLOCK, GROUP = 16384, 4  # bytes, and blocks to an answer
ROUND = 1 << 32  # TCP's sequence numbers
LATE = 240  # seconds that a command may take where every core is busy several times over


def test_a_stream_that_goes_round(bypassed):
    """A grant of the beginning must not be good again when write_seq comes by once more: each
    block says its number, and all are of a size that would fit it."""
    one, other = tcp_pair()
    last = ROUND // BLOCK + 64 * GROUP
    wrong = []

    def read():
        for number in range(last):
            block = receive(other, BLOCK)
            if int.from_bytes(block[:8], "big") != number:
                wrong.append((number, int.from_bytes(block[:8], "big")))
                return
            if number % GROUP == 0:
                other.sendall(b"!")  # a word, so that it is no stream; more is unread by then

    with one, other:
        converse(one, other, size=BLOCK * GROUP)
        reader = threading.Thread(target=read)
        reader.start()
        tail, answers = bytes(BLOCK - 8), 0
        for number in range(last):
            one.sendall(number.to_bytes(8, "big") + tail)
            if number % GROUP == GROUP - 1:
                answers += len(one.recv(64))
        reader.join(60)
        assert not reader.is_alive()
    assert not wrong, wrong


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

"""What is called a conversation, and what patience a hold costs."""

from __future__ import annotations

import pytest

from sockproxy.worker import traffic as module
from sockproxy.worker.traffic import FEW, MANY, SMALL, Traffic


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still; call it to move it."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def forward(seconds):
        now[0] += seconds

    return forward


def small_bursts_needed(traffic):
    count = 0
    while not traffic.suits_redirect():
        count += 1
        traffic.burst(SMALL, answers=count)
    return count


def test_small_bursts_in_a_row_make_a_conversation():
    traffic = Traffic(eager=False)
    for number in range(FEW - 1):
        traffic.burst(1, answers=1000 + number)
    traffic.burst(SMALL + 1, answers=2000)
    assert not traffic.suits_redirect()
    assert small_bursts_needed(traffic) == FEW


def test_without_an_answer_between_them_they_are_a_stream():
    traffic = Traffic(eager=False)
    for _ in range(1000):
        traffic.burst(1, answers=7)
    assert not traffic.suits_redirect()


def test_each_hold_in_haste_doubles_what_is_asked(clock):
    traffic = Traffic(eager=False)
    for expected in (2 * FEW, 4 * FEW, 8 * FEW, 16 * FEW):
        traffic.started()
        traffic.held()
        assert small_bursts_needed(traffic) == expected
    for _ in range(20):
        traffic.held()
    assert small_bursts_needed(traffic) == MANY
    traffic.started()
    clock(module.QUIET)
    traffic.held()
    assert small_bursts_needed(traffic) == FEW


def test_rest_grows_and_ends(clock):
    traffic = Traffic(eager=True)
    assert traffic.suits_redirect()
    assert traffic.rest() <= 0
    rests = []
    for _ in range(12):
        traffic.started()
        traffic.held()
        rests.append(traffic.rest())
    assert rests == sorted(rests)
    assert rests[-1] == pytest.approx(module.LONGEST_REST)
    clock(module.LONGEST_REST)
    assert traffic.rest() <= 0

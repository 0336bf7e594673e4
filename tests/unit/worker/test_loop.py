"""The event loop: whom an event is for, calls from other threads, and turns."""

from __future__ import annotations

import os
import select
import threading
import time

import pytest

from sockproxy.worker import loop as loop_module
from sockproxy.worker.loop import EventLoop


@pytest.fixture
def loop():
    loop = EventLoop()
    yield loop
    loop.close()


def test_an_event_is_for_who_watched_when_it_came(loop):
    """Not for who has the number now: both pipes are readable, and the first handler opens another
    descriptor in the place of the second."""
    (one, into_one), (other, into_other) = os.pipe(), os.pipe()
    told = []

    def close_other(_events):
        told.append("first")
        for fd in (one, other):
            loop.unwatch(fd)
        third, _ = spare = os.pipe()
        os.dup2(third, other)
        loop.watch(other, select.EPOLLIN, lambda _events: told.append("a stranger's"))
        loop.later(0.05, loop.stop)
        opened.extend(spare)

    opened = [one, into_one, other, into_other]
    for fd in (one, other):
        loop.watch(fd, select.EPOLLIN, close_other)
    os.write(into_one, b"x")
    os.write(into_other, b"x")
    loop.run()
    assert told == ["first"]
    for fd in opened:
        os.close(fd)


def test_what_was_called_before_the_stop_is_done(loop):
    done = []
    loop.stop()
    loop.call(lambda: done.append(1))
    loop.run()
    assert done == [1]


def test_a_call_after_the_close_writes_to_nobodys_descriptor():
    loop = EventLoop()
    loop.close()
    counter = os.eventfd(0, os.EFD_NONBLOCK)  # has a number that was the loop's, likely
    loop.call(pytest.fail)
    with pytest.raises(BlockingIOError):
        os.eventfd_read(counter)
    os.close(counter)


def test_calls_while_it_closes():
    for _ in range(50):
        loop = EventLoop()
        threads = [
            threading.Thread(target=lambda loop=loop: [loop.call(int) for _ in range(50)])
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        loop.close()
        for thread in threads:
            thread.join()


# -- turns ---------------------------------------------------------------------------------


def test_an_event_waits_for_a_slice_of_turns_at_most(loop):
    """Though each turn asks for the next, and there are many of them."""
    out, into = os.pipe()
    turns, seen = [], []

    def turn():
        time.sleep(loop_module.SLICE)
        turns.append(1)
        loop.in_turn(turn)
        if len(turns) == 50:
            os.write(into, b"x")

    def on_event(_events):
        seen.append(len(turns))
        loop.stop()

    loop.watch(out, select.EPOLLIN, on_event)
    for _ in range(10):
        loop.in_turn(turn)
    loop.run()
    assert seen == [50]
    os.close(out)
    os.close(into)


def test_timers_and_calls_come_between_turns(loop):
    order = []

    def turn():
        time.sleep(loop_module.SLICE)
        order.append("turn")
        loop.in_turn(turn)
        if len(order) == 3:
            loop.later(0, lambda: order.append("timer"))
            loop.call(lambda: order.append("call"))
            loop.later(0, loop.stop)

    loop.in_turn(turn)
    loop.run()
    assert order[:3] == ["turn"] * 3
    assert set(order[3:5]) == {"timer", "call"}


def test_who_goes_on_comes_before_who_waits(loop):
    order = []

    def first(part=1):
        order.append(f"first {part}")
        if part < 3:
            loop.in_turn(lambda: first(part + 1), again=True)

    loop.in_turn(first)
    loop.in_turn(lambda: order.append("second"))
    loop.in_turn(loop.stop)
    loop.run()
    assert order == ["first 1", "first 2", "first 3", "second"]

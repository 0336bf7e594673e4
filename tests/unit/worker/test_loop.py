"""The event loop: whom an event is for, calls from other threads, and turns."""

from __future__ import annotations

import os
import select
import threading

import pytest

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

"""What another thread has a loop do, and waits for."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import pytest

from sockproxy.worker.loop import EventLoop
from tests.support.scale import patience


@contextmanager
def running():
    loop = EventLoop()
    runs = threading.Event()
    loop.call(runs.set)
    thread = threading.Thread(target=loop.run)
    thread.start()
    runs.wait()
    try:
        yield loop, thread
    finally:
        loop.stop()
        thread.join(patience(10))
        loop.close()


def test_it_is_called_there():
    called = []
    with running() as (loop, thread):
        loop.do(lambda: called.append(threading.current_thread()))
        assert called == [thread]


def test_it_is_called_here_where_nobody_runs_it():
    called = []
    loop = EventLoop()
    loop.do(lambda: called.append(threading.current_thread()))
    loop.close()
    assert called == [threading.current_thread()]


def test_it_may_ask_itself():
    called = []
    with running() as (loop, _):
        loop.do(lambda: loop.do(lambda: called.append(1)))
        assert called == [1]


def test_what_it_raises_is_raised_here():
    with running() as (loop, _):
        with pytest.raises(ZeroDivisionError):
            loop.do(lambda: 1 // 0)
        loop.do(lambda: None)


def test_a_loop_that_ends_meanwhile_keeps_nobody_waiting():
    for turn in range(200):
        done = threading.Event()
        with running() as (loop, _):
            asker = threading.Thread(target=loop.do, args=(done.set,))
            asker.start()
            time.sleep(turn % 5 / 10000)
        asker.join(patience(10))
        assert done.is_set()

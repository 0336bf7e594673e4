"""Signals end work at once, and never the undoing of it."""

from __future__ import annotations

import os
import signal

import pytest

from sockproxy.bench.interrupt import Interrupted, Undo, check, held, watching


def interrupt(number=signal.SIGINT):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_work_is_ended(number):
    with watching(), pytest.raises(Interrupted) as ended:
        interrupt(number)
    assert ended.value.number == number


def test_undoing_is_finished_first():
    done = []
    with watching(), pytest.raises(Interrupted), Undo() as undo:
        undo.callback(done.append, "last")
        undo.callback(interrupt)
        undo.callback(interrupt)
        undo.callback(done.append, "first")
    assert done == ["first", "last"]


def test_an_error_while_undoing_does_not_hide_it():
    def fail():
        raise OSError

    with watching(), pytest.raises(Interrupted), Undo() as undo:
        undo.callback(fail)
        interrupt()


def test_one_that_was_swallowed_is_found():
    with watching():
        try:
            interrupt()
        except BaseException:
            pass
        with pytest.raises(Interrupted):
            check()
        with pytest.raises(Interrupted):  # and another one is heard
            interrupt()


def test_what_is_held_after_it_came_is_not_interrupted_again():
    with watching():
        with pytest.raises(Interrupted):
            interrupt()
        with held():
            pass


def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with watching():
            interrupt(signal.SIGHUP)
            check()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGINT)
    with watching():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before

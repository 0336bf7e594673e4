"""SIGURG for the sockets that the kernel reads, in a program that has its own use for it."""

from __future__ import annotations

import os
import signal
import time

from tests.support.fake_kernel import FakeKernel
from tests.support.sockets import eventually, receive
from tests.unit.worker.test_engine import Running


def test_a_programs_own_signals_come_through():
    """A signalfd takes what is sent to the process; nothing of it is lost to the handler."""
    own = []
    before = signal.signal(signal.SIGURG, lambda *_: own.append(1))
    try:
        with Running(FakeKernel()) as run:
            run.client.sendall(b"x")
            receive(run.server, 1)
            eventually(lambda: run.kernel.calls["start"])
            for number in range(200):
                os.kill(os.getpid(), signal.SIGURG)
                eventually(lambda number=number: len(own) > number)
                time.sleep(0.0005)
            assert run.thread.is_alive()
    finally:
        signal.signal(signal.SIGURG, before)

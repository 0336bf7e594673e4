"""Whether a machine is busy."""

from __future__ import annotations

import os
import time

from sockproxy.doctor import load


def test_a_process_that_spins_is_not_a_busy_machine(monkeypatch):
    """Nor one of many CPUs of which some are idle."""
    times = iter([[0, 0, 0, 0, 0, 0, 0, 0], [100, 0, 0, 0, 0, 0, 0, 0]] * 2)
    monkeypatch.setattr(load, "_cpu_times", lambda: next(times))
    monkeypatch.setattr(load, "SHORT", 0.0)
    monkeypatch.setattr(load, "_waited", lambda pid: 0.0)
    monkeypatch.setattr(load, "_own_time", lambda pid: 90)
    assert not load.Load().was_busy(1)
    monkeypatch.setattr(load, "_own_time", lambda pid: 5)
    assert load.Load().was_busy(1)


def test_the_load_of_this_machine_can_be_told():
    assert len(load._cpu_times()) == 8
    now = load.Load()
    assert not now.was_busy(os.getpid())  # in no time
    time.sleep(2 * load.SHORT)
    now.was_busy(os.getpid())

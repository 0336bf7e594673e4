"""The memory sampler sees what is really held: the bounds of other tests rest on it."""

from __future__ import annotations

import mmap
import time

import pytest

from tests.support.memory import LASTING, peak_memory

MIB = 1 << 20


@pytest.mark.parametrize("held", [16, 80, 300])
def test_what_is_held_is_seen(held):
    # Twice: what the first round freed lies on the lists of this CPU for the second.
    for _ in range(2):
        with peak_memory() as peak, mmap.mmap(-1, held * MIB) as memory:
            for page in range(0, held * MIB, mmap.PAGESIZE):
                memory[page] = 1
            time.sleep(2 * LASTING)
        assert 0.9 * held * MIB < peak.used < held * MIB + 48 * MIB

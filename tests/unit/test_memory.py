"""The memory sampler sees what is really held: the bounds of other tests rest on it."""

from __future__ import annotations

import mmap
import time

import pytest

from tests.support.memory import LASTING, peak_memory

MIB = 1 << 20


@pytest.mark.parametrize("held", [16, 80, 300])
def test_what_is_held_is_seen(held):
    seen = []
    for _ in range(4):  # others may take and give memory meanwhile: not each time
        with peak_memory() as peak, mmap.mmap(-1, held * MIB) as memory:
            for page in range(0, held * MIB, mmap.PAGESIZE):
                memory[page] = 1
            time.sleep(2 * LASTING)
        seen.append(peak.used / MIB)
        # From the second round on the pages come from the lists of this CPU.
        if len(seen) > 1 and 0.9 * held < seen[-1] < held + 24:
            return
    pytest.fail(f"{held} MiB were held, and seen: {seen}")

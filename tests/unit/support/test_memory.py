"""The memory sampler sees what is really held: the bounds of other tests rest on it."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import subprocess
import sys
import time

import pytest

from tests.support.memory import LASTING, peak_memory

MIB = 1 << 20
# Processes that come and go, each with memory of its own that it fills.
STRANGER = """
import os
while True:
    if not os.fork():
        os._exit(len(bytearray(os.urandom(1 << 20)) * 200) & 0)
    os.wait()
"""


@contextlib.contextmanager
def full_pipes(count):
    """The kernel holds `count` MiB: pipes of a page a byte, as nothing is merged."""
    ends = [os.pipe2(os.O_DIRECT | os.O_NONBLOCK) for _ in range(count)]
    try:
        for _, end in ends:
            fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, MIB)
            for _ in range(MIB // mmap.PAGESIZE):
                os.write(end, b".")
        yield
    finally:
        for each in ends:
            os.close(each[0])
            os.close(each[1])


@contextlib.contextmanager
def strangers(count):
    busy = [subprocess.Popen([sys.executable, "-c", STRANGER]) for _ in range(count)]
    try:
        yield
    finally:
        for each in busy:
            each.kill()
            each.wait()


@pytest.mark.alone  # what compilers and sanitizers take beside it is more than strangers do
@pytest.mark.root  # no limit to what pipes hold
@pytest.mark.parametrize("others", [0, 2])
@pytest.mark.parametrize("held", [16, 80, 300])
def test_what_is_held_is_seen(held, others):
    """And what other programs take and give meanwhile is not."""
    seen = []
    for _ in range(4):  # the kernel may take memory for others: not each time
        with strangers(others), peak_memory() as peak, full_pipes(held):
            time.sleep(2 * LASTING)
        seen.append(peak.used / MIB)
        # From the second round on the pages come from the lists of this CPU.
        if len(seen) > 1 and 0.9 * held < seen[-1] < held + 24:
            return
    pytest.fail(f"{held} MiB were held, and seen: {seen}")

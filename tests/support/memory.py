"""How much memory the kernel took, while it took it."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import contextmanager
from pathlib import Path

PAGE = 4096
EVERY, LASTING = 0.005, 0.5  # seconds
FREE = ("pages free", "nr_zone_active_file", "nr_zone_inactive_file", "count:")
# What processes hold, and what is kept of files: other programs come and go meanwhile.
OF_PROCESSES = ("nr_anon_pages", "nr_shmem", "nr_page_table_pages", "nr_slab_reclaimable")
PAGES = re.compile(rf"^ +(?:{'|'.join(FREE + OF_PROCESSES)}) +(\d+)$", re.MULTILINE)


def available():
    """Bytes that the kernel does not hold for itself: free, in the file cache, free on a CPU's
    list, or of processes. What is taken from them is in sockets, queues and pipes.

    A CPU keeps freed pages on lists of its own (struct per_cpu_pages), hundreds of MiB at
    times, that MemAvailable counts as used: memory taken from there would not show. All
    comes from one read of one file, for pages move between those places all the time.
    """
    return sum(map(int, PAGES.findall(Path("/proc/zoneinfo").read_text()))) * PAGE


def settled():
    """available() for the length of LASTING, at its most.

    A virtual machine takes tens of MiB of free pages away for some milliseconds, again
    and again, to report them to its host (mm/page_reporting.c).
    """
    until, most = time.monotonic() + LASTING, 0
    while time.monotonic() < until:
        most = max(most, available())
        time.sleep(EVERY)
    return most


def tcp_limit():
    """What TCP may hold at most, in bytes; beyond it a receiver drops what arrives."""
    return int(Path("/proc/sys/net/ipv4/tcp_mem").read_text().split()[2]) * PAGE


def tcp_own():
    """What TCP itself accounts for, all sockets of this namespace, in bytes."""
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            return int(line.split()[-1]) * PAGE
    raise AssertionError("no TCP in sockstat")


class Peak:
    """Largest use since the start: all of it, and what of it TCP does not account for.

    Only what lasts counts, see settled().
    """

    def __init__(self):
        self.used = self.tcp = self.beyond_tcp = 0
        self._available, self._tcp = settled(), tcp_own()
        self._recent = deque()

    def sample(self):
        """Look now."""
        now, used, tcp = time.monotonic(), self._available - available(), tcp_own()
        self.tcp = max(self.tcp, tcp)
        self._recent.append((now, used, used - (tcp - self._tcp)))
        if now - self._recent[0][0] < LASTING:
            return
        while now - self._recent[1][0] >= LASTING:
            self._recent.popleft()
        self.used = max(self.used, min(used for _, used, _ in self._recent))
        self.beyond_tcp = max(self.beyond_tcp, min(beyond for _, _, beyond in self._recent))


@contextmanager
def peak_memory():
    """Samples every 5 ms; yields the Peak."""
    peak, done = Peak(), threading.Event()

    def watch():
        while not done.wait(EVERY):
            peak.sample()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


@contextmanager
def busy_cores(count):
    """Keeps `count` cores busy with processes that do nothing else."""
    spinners = [subprocess.Popen([sys.executable, "-c", "while 1: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()

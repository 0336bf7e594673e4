"""How much memory the kernel took, while it took it."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

PAGE = 4096


def available():
    """MemAvailable in bytes."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no MemAvailable")


def tcp_own():
    """What TCP itself accounts for, all sockets of this namespace, in bytes."""
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            return int(line.split()[-1]) * PAGE
    raise AssertionError("no TCP in sockstat")


class Peak:
    """Largest use since the start: all of it, and what of it TCP does not account for."""

    def __init__(self):
        self.used = self.beyond_tcp = 0
        self._available, self._tcp = available(), tcp_own()

    def sample(self):
        used = self._available - available()
        self.used = max(self.used, used)
        self.beyond_tcp = max(self.beyond_tcp, used - (tcp_own() - self._tcp))


@contextmanager
def peak_memory():
    """Samples every 5 ms; yields the Peak."""
    peak, done = Peak(), threading.Event()

    def watch():
        while not done.wait(0.005):
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

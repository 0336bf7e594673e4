"""How much memory the kernel took, while it took it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from pathlib import Path

from tests.support.load import busy_cores as busy_cores

PAGE = 4096
# What holds pages for user space or for files: none of it is the network's.
NOT_KERNEL = ("MemFree", "Buffers", "Cached", "SwapCached", "AnonPages", "PageTables")
NETWORK_SLABS = ("skbuff", "kmalloc", "TCP", "request_sock", "sock_inode", "ip_dst")


def meminfo():
    """/proc/meminfo, as bytes by name."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) == 3}


def available():
    """MemAvailable in bytes."""
    return meminfo()["MemAvailable"]


def kernel_memory():
    """Bytes that the kernel holds for itself: slabs and bare pages, whoever accounts for them.

    The payload of an skb lies in bare pages, which no counter names; so this is all memory
    less what is free and what user space and files hold. Good to a few MiB: pages on the
    processors' own free lists count as held.
    """
    return _kernel(meminfo())


def _kernel(info):
    return info["MemTotal"] - sum(info[name] for name in NOT_KERNEL)


def network_slabs():
    """Bytes in the slab caches that skbs and sockets come from, by cache. Needs root."""
    lines = Path("/proc/slabinfo").read_text().splitlines()[2:]
    rows = (line.split() for line in lines)
    return {row[0]: int(row[2]) * int(row[3]) for row in rows if row[0].startswith(NETWORK_SLABS)}


def tcp_own():
    """What TCP itself accounts for, all sockets of this namespace, in bytes."""
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            return int(line.split()[-1]) * PAGE
    raise AssertionError("no TCP in sockstat")


class Peak:
    """Largest use since the start, in bytes.

    used        all of it, by MemAvailable
    beyond_tcp  what of it TCP does not account for
    kernel      what of it is the kernel's own, TCP's part included (see kernel_memory)
    tcp         what TCP accounts for
    """

    def __init__(self):
        self.used = self.beyond_tcp = self.kernel = self.tcp = 0
        info = meminfo()
        self._available, self._kernel, self._tcp = info["MemAvailable"], _kernel(info), tcp_own()

    def sample(self):
        info, tcp = meminfo(), tcp_own() - self._tcp
        used = self._available - info["MemAvailable"]
        self.used = max(self.used, used)
        self.beyond_tcp = max(self.beyond_tcp, used - tcp)
        self.kernel = max(self.kernel, _kernel(info) - self._kernel)
        self.tcp = max(self.tcp, tcp)


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

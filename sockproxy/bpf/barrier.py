"""Waiting until every BPF program that runs at this moment has ended."""

from __future__ import annotations

import time

from sockproxy.syscalls import barrier

__all__ = ["wait_for_programs"]

LONG = 1.0  # seconds; no BPF program runs as long


def wait_for_programs() -> None:
    """Return when all programs that began before the call have ended.

    BPF programs run inside of RCU read-side sections, and membarrier(2) waits for those
    (kernel/sched/membarrier.c). Kernels with nohz_full refuse the call; then this waits LONG.
    """
    try:
        barrier()
    except OSError:
        time.sleep(LONG)

"""Waiting until every BPF program that runs at this moment has ended."""

from __future__ import annotations

import ctypes
import os
import time

__all__ = ["wait_for_programs"]

MEMBARRIER = {"x86_64": 324, "aarch64": 283}  # system calls that Python has no name for
MEMBARRIER_CMD_GLOBAL = 1
LONG = 1.0  # seconds, that no program takes

_libc = ctypes.CDLL(None, use_errno=True)


def wait_for_programs() -> None:
    """Return when all programs that began before the call have ended.

    They run inside of RCU read-side sections, and membarrier(2) waits for those
    (kernel/sched/membarrier.c). Kernels with nohz_full refuse it.
    """
    number = MEMBARRIER.get(os.uname().machine)
    if number is None or _libc.syscall(number, MEMBARRIER_CMD_GLOBAL, 0, 0):
        time.sleep(LONG)
